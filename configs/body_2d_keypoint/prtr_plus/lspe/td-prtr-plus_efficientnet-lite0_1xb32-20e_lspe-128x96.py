# With a pretrained backbone, see README.md for how to install it.
_base_ = './td-prtr-plus_res18_1xb32-20e_lspe-128x96.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3))

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
    head=dict(in_channels=[24, 40, 112, 320]),
)
