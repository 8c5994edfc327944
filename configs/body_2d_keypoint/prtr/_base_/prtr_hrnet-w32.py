# Changes for HRNet-W32.
_base_ = './prtr_base.py'

# optimizer: the whole network is trained with one learning rate
optim_wrapper = dict(paramwise_cfg=None)

# model settings
model = dict(
    # The authors' HRNets take RGB pixels, unlike their ResNets.
    data_preprocessor=dict(bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='HRNet',
        in_channels=3,
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
                num_channels=(32, 64),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(32, 64, 128),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(32, 64, 128, 256),
                multiscale_output=True,
            ),
        ),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w32-36af842e.pth',
        ),
    ),
    neck=dict(
        type='HRNetClsNeck',
        in_channels=(32, 64, 128, 256),
        mid_channels=(128, 256, 512, 1024),
        out_channels=2048,
    ),
)
