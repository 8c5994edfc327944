_base_ = './td-prtr_swin-t_4xb32-200e_coco-256x192.py'

# runtime
train_cfg = dict(max_epochs=100)

# optimizer: reference points and sampling offsets learn as slowly as the backbone
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'reference_points': dict(lr_mult=0.1), 'sampling_offsets': dict(lr_mult=0.1)}
    )
)

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=100, milestones=[50, 70], gamma=0.5, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=64)

# model settings: maps of stride 8, 16 and 32
model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    head=dict(
        in_channels=[192, 384, 768],
        with_kpt_refine=False,
        transformer=dict(
            type='DeformablePRTRTransformer',
            num_feature_levels=4,
            num_points=4,
            norm_cfg=dict(type='GN', num_groups=32),
        ),
    ),
)

# data loaders
train_dataloader = dict(batch_size=16)
