# Shared by the cascades for COCO: runtime, optimizer, data, and the ResNet-50
# model, trained jointly from a converted DETR. Variants override parts of it.
_base_ = ['../../prtr/_base_/prtr_runtime.py', '../../prtr/_base_/prtr_head.py']

# A DETR converted by tools/model_converters/detr_to_prtr_cascade.py. A run without
# this file stops at once.
load_from = 'data/detr/detr_r50_person.pth'

# runtime
train_cfg = dict(max_epochs=50, val_interval=5)

# optimizer: the detector is already trained
optim_wrapper = dict(
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(custom_keys={'detector': dict(lr_mult=0.1)}),
)

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=50, milestones=[40], gamma=0.1, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# hooks
default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# codec settings: joints are relative to the crops
codec = dict(type='HungarianKeypointCodec', input_size=(1, 1), num_keypoints=17)

# model settings
model = dict(
    type='PRTRCascade',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        # dozens of labels go to the GPU, none of which is waited for
        non_blocking=True,
    ),
    freeze_detector=False,
    detach_boxes=False,
    detector=dict(
        type='PersonDETR',
        num_queries=100,
        # Stem and first stage are frozen, and so are all batch norms.
        backbone=dict(
            type='mmpose.ResNet',
            depth=50,
            out_indices=(0, 1, 2, 3),
            frozen_stages=1,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
        ),
        neck=dict(
            type='mmdet.ChannelMapper',
            in_channels=[2048],
            kernel_size=1,
            out_channels=256,
            act_cfg=None,
            norm_cfg=None,
        ),
        encoder=dict(
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.1),
                ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.1),
            ),
        ),
        decoder=dict(
            num_layers=6,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.1),
                cross_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.1),
                ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.1),
            ),
        ),
        positional_encoding=dict(num_feats=128, normalize=True),
        bbox_head=dict(
            type='mmpose.PersonDETRHead',
            embed_dims=256,
            loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0),
            loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0),
            loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        ),
    ),
    detector_levels=(-1,),
    crop=dict(resolution=(10, 10), zoom=1.25, levels=(0, 1, 2, 3)),
    head=dict(
        in_channels=256 + 512 + 1024 + 2048,
        out_channels=codec['num_keypoints'],
        embed_dims=512,
        transformer=dict(
            positional_encoding=dict(
                _delete_=True, type='SineLearnedPositionalEncoding', num_feats=128, size=(10, 10)
            )
        ),
        decoder=codec,
    ),
    train_cfg=dict(max_persons=20),
    test_cfg=dict(score_thr=0.05, max_persons=20),
)

# base dataset settings
dataset_type = 'CocoPersonDataset'
data_mode = 'bottomup'
data_root = 'data/coco/'

# pipelines: DETR's
scales = [(short, 1333) for short in range(480, 801, 32)]
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='BottomupRandomChoiceResize', scales=scales, keep_ratio=True)],
            [
                # the crop is resized again
                dict(
                    type='BottomupRandomChoiceResize',
                    scales=[(400, 1333), (500, 1333), (600, 1333)],
                    keep_ratio=True,
                ),
                dict(
                    type='PersonRandomCrop',
                    crop_type='absolute_range',
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type='BottomupRandomChoiceResize', scales=scales, keep_ratio=True),
            ],
        ],
    ),
    dict(type='PackPersonInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='BottomupRandomChoiceResize', scales=[(800, 1333)], keep_ratio=True),
    dict(type='PackPersonInputs'),
]

# data loaders
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'),
        # half of COCO's images show no person; the detector learns the background from them
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=4,
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

# evaluators: keypoints and boxes of the same predictions
val_evaluator = [
    dict(
        type='SafeCocoMetric',
        ann_file=f'{data_root}annotations/person_keypoints_val2017.json',
        score_mode='bbox_keypoint',
        nms_mode='none',
    ),
    dict(type='PersonBoxMetric', ann_file=f'{data_root}annotations/person_keypoints_val2017.json'),
]
test_evaluator = val_evaluator
