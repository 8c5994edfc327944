# The backbone is timm's, see ../lspe/README.md for how to install it.
_base_ = ['../../prtr/_base_/prtr_coco-256x192.py', '../_base_/prtr_plus_head.py']

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
train_cfg = dict(max_epochs=210)
optim_wrapper = dict(_base_.prtr_plus.optim_wrapper, _delete_=True)
param_scheduler = _base_.prtr_plus.param_scheduler

model = dict(
    # mean and deviation of these weights
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/efficientnet-lite0.pth'),
    ),
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[24, 40, 112, 320],
        out_channels=17,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
