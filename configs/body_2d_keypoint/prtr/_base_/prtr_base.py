# The two-stage model of the paper with ResNet-50, and its optimizer. Configs add
# a dataset and a schedule.
_base_ = ['./prtr_runtime.py', './prtr_head.py']

# runtime
train_cfg = dict(max_epochs=200, val_interval=10)

# optimizer
optim_wrapper = dict(
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
)

# model settings
model = dict(
    type='TopdownPoseEstimator',
    # The authors' ResNets take BGR pixels, and yet mean and std in RGB order.
    # Their published weights lose accuracy with any other combination.
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,
        # dozens of labels go to the GPU, none of which is waited for
        non_blocking=True,
    ),
    # Stem and first stage are frozen, and so are all batch norms.
    backbone=dict(
        type='ResNet',
        depth=50,
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    head=dict(in_channels=2048),
    test_cfg=dict(flip_test=True),
)
