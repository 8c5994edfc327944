_base_ = '../_base_/prtr_cascade_coco.py'

# starts from ImageNet's weights, as there is no DETR with this backbone
load_from = None

# runtime
train_cfg = dict(max_epochs=150, val_interval=10)

# optimizer: DETR's
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(_delete_=True, **{'detector.backbone': dict(lr_mult=0.1)}))
)

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=150, milestones=[100], gamma=0.1, by_epoch=True)
]

# model settings
model = dict(
    # HRNet adds maps of stride 4 to enlarged ones of stride 32
    data_preprocessor=dict(pad_size_divisor=32),
    detector=dict(
        backbone=dict(
            _delete_=True,
            type='mmpose.HRNet',
            in_channels=3,
            # two images are too few for batch statistics
            norm_eval=True,
            extra=dict(
                stage1=dict(
                    num_modules=1,
                    num_branches=1,
                    block='BOTTLENECK',
                    num_blocks=(4,),
                    num_channels=(64,),
                ),
                stage2=dict(
                    num_modules=1,
                    num_branches=2,
                    block='BASIC',
                    num_blocks=(4, 4),
                    num_channels=(48, 96),
                ),
                stage3=dict(
                    num_modules=4,
                    num_branches=3,
                    block='BASIC',
                    num_blocks=(4, 4, 4),
                    num_channels=(48, 96, 192),
                ),
                stage4=dict(
                    num_modules=3,
                    num_branches=4,
                    block='BASIC',
                    num_blocks=(4, 4, 4, 4),
                    num_channels=(48, 96, 192, 384),
                    multiscale_output=True,
                ),
            ),
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://download.openmmlab.com/mmpose/'
                'pretrain_models/hrnet_w48-8ef0771d.pth',
            ),
        ),
        # the branch of stride 32, which the others are fused into
        neck=dict(in_channels=[384]),
    ),
    head=dict(in_channels=48 + 96 + 192 + 384),
)
