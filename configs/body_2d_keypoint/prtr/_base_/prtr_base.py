# What all two-stage PRTR configs share: runtime, optimizer and the ResNet-50
# model. The folder's other files add a dataset; the variants override.
_base_ = ['mmpose::_base_/default_runtime.py']

custom_imports = dict(imports=['prtr_plugin'], allow_failed_imports=False)

# runtime
train_cfg = dict(max_epochs=200, val_interval=10)

# optimizer
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
)

# a resumed run goes on with the numbers of the run that it continues
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='EpochSeedHook')]

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
    head=dict(
        type='PRTRHead',
        in_channels=2048,
        num_queries=100,
        embed_dims=256,
        transformer=dict(
            type='PRTRTransformer',
            num_encoder_layers=6,
            num_decoder_layers=6,
            num_heads=8,
            feedforward_channels=2048,
            dropout=0.0,
            pre_norm=False,
            positional_encoding=dict(
                type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True
            ),
        ),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0),
        loss_kpt=dict(type='L1Loss', use_target_weight=True, loss_weight=5.0),
        assigner=dict(
            type='KeypointHungarianAssigner',
            match_costs=[
                dict(type='KeypointClassificationCost', weight=1.0),
                dict(type='KeypointL1Cost', weight=5.0),
            ],
        ),
    ),
    test_cfg=dict(flip_test=True),
)
