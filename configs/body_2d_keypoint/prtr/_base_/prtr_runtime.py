# Shared by all configs of PRTR: mmpose's runtime, and this package's components.
_base_ = 'mmpose::_base_/default_runtime.py'

custom_imports = dict(imports=['prtr_plugin'], allow_failed_imports=False)

# a resumed run draws the same random numbers as an uninterrupted one
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='EpochSeedHook')]

# a run that is killed while it saves has a checkpoint to resume from
default_hooks = dict(checkpoint=dict(type='AtomicCheckpointHook'))
