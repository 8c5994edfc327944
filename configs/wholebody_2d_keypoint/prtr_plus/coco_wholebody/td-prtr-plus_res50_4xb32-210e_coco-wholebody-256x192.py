# COCO-WholeBody: 133 joints of body, feet, face and hands.
_base_ = [
    '../../prtr/coco_wholebody/td-prtr_res50_4xb32-200e_coco-wholebody-384x288.py',
    '../../../body_2d_keypoint/prtr_plus/_base_/prtr_plus_head.py',
]
from prtr_plugin.datasets import topdown_pipelines

codec = dict(_base_.codec, input_size=(192, 256), **_base_.prtr_plus.codec)
train_pipeline, val_pipeline = topdown_pipelines(codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=210)
optim_wrapper = dict(_base_.prtr_plus.optim_wrapper, _delete_=True)
param_scheduler = _base_.prtr_plus.param_scheduler

model = dict(
    data_preprocessor=dict(bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        num_queries=140,
        in_channels=[256, 512, 1024, 2048],
        out_channels=133,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
