# The four maps of HRNet as they are: the coarsest becomes the tokens.
_base_ = [
    '../../prtr/coco/td-prtr_hrnet-w32_4xb16-200e_coco-384x288.py',
    '../_base_/prtr_plus_head.py',
]
from prtr_plugin.datasets import topdown_pipelines

codec = dict(_base_.codec, input_size=(192, 256), **_base_.prtr_plus.codec)
train_pipeline, val_pipeline = topdown_pipelines(codec)
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=210)
optim_wrapper = dict(_base_.prtr_plus.optim_wrapper, _delete_=True)
param_scheduler = _base_.prtr_plus.param_scheduler
auto_scale_lr = dict(base_batch_size=128)

model = dict(
    neck=None,
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[32, 64, 128, 256],
        out_channels=17,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
