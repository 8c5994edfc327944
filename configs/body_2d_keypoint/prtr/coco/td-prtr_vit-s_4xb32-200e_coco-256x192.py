# The backbone is mmpretrain's, as in mmpose's ViTPose: see README.md for how to
# install it.
_base_ = '../_base_/prtr_coco-256x192.py'

# model settings
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=384 * 4),
        img_size=(256, 192),
        patch_size=16,
        qkv_bias=True,
        drop_path_rate=0.1,
        with_cls_token=False,
        out_type='featmap',
        patch_cfg=dict(padding=2),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'v1/pretrained_models/mae_pretrain_vit_small_20230913.pth',
        ),
    ),
    # a map of stride 16
    head=dict(in_channels=384),
)
