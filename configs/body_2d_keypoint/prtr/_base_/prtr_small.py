# A small PRTR that trains from scratch in minutes on two CPU cores, on any
# dataset in COCO's layout. Variants set the dataset and the schedule.
_base_ = ['./prtr_runtime.py', './prtr_head.py']
from prtr_plugin.datasets import topdown_pipelines

data_root = 'data/coco/'
max_epochs = 20
batch_size = 32
base_lr = 1e-3

# runtime
randomness = dict(seed=0)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=3)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=base_lr, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=200, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=batch_size)

# model
codec = dict(type='HungarianKeypointCodec', input_size=(96, 128), num_keypoints=17)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        # dozens of labels go to the GPU, none of which is waited for
        non_blocking=True,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        # three stages: stride 16, so that there are 8 x 6 tokens
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
    head=dict(
        in_channels=128,
        out_channels=17,
        num_queries=20,
        embed_dims=128,
        transformer=dict(
            num_encoder_layers=2,
            num_decoder_layers=3,
            num_heads=4,
            feedforward_channels=512,
            pre_norm=True,
            positional_encoding=dict(num_feats=64),
        ),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True),
)

# data
dataset_type = 'CocoDataset'
data_mode = 'topdown'

train_pipeline, val_pipeline = topdown_pipelines(
    codec, bbox_transform='RandomBBoxTransform', scale_factor=(0.8, 1.2), rotate_factor=20.0
)

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='SafeCocoMetric', ann_file=data_root + 'annotations/person_keypoints_val2017.json'
)
test_evaluator = val_evaluator

# hooks
default_hooks = dict(
    checkpoint=dict(interval=1, save_best='coco/AP', rule='greater', max_keep_ckpts=1),
    logger=dict(interval=20),
)
