# What all configs of PRTR share: mmpose's runtime, and this package's components.
_base_ = 'mmpose::_base_/default_runtime.py'

custom_imports = dict(imports=['prtr_plugin'], allow_failed_imports=False)

# a resumed run goes on with the numbers of the run that it continues
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='EpochSeedHook')]
