# Unlike in the PRTR configs, nothing of the ResNet is frozen, and pixels are RGB.
_base_ = ['../../prtr/_base_/prtr_mpii.py', '../_base_/prtr_plus_head.py']

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
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
        in_channels=[256, 512, 1024, 2048],
        out_channels=16,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
