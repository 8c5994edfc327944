# A small cascade that trains from scratch in minutes on two CPU cores, on any
# dataset in COCO's layout. Variants set the dataset, the image size and the
# schedule.
_base_ = ['../../prtr/_base_/prtr_runtime.py', '../../prtr/_base_/prtr_head.py']

data_root = 'data/coco/'
max_epochs = 24
batch_size = 8
base_lr = 1e-3

# runtime
randomness = dict(seed=0)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=6)

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
codec = dict(type='HungarianKeypointCodec', input_size=(1, 1), num_keypoints=17)
attention = dict(embed_dims=128, num_heads=4)
ffn = dict(embed_dims=128, feedforward_channels=512)

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
    detach_boxes=True,
    detector=dict(
        type='ProposalPersonDETR',
        num_queries=30,
        backbone=dict(
            type='mmpose.ResNet',
            depth=18,
            stem_channels=32,
            base_channels=32,
            # three stages: the detector uses a map of stride 16
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(0, 1, 2),
        ),
        neck=dict(
            type='mmdet.ChannelMapper',
            in_channels=[128],
            kernel_size=1,
            out_channels=128,
            act_cfg=None,
            norm_cfg=None,
        ),
        encoder=dict(
            num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn, pre_norm=True)
        ),
        decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn, pre_norm=True
            ),
        ),
        positional_encoding=dict(num_feats=64, normalize=True),
        bbox_head=dict(
            type='mmpose.PersonDETRHead',
            embed_dims=128,
            loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0),
            loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0),
            loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
        ),
    ),
    detector_levels=(-1,),
    crop=dict(resolution=(8, 8), zoom=1.25, levels=(0, 1, 2)),
    head=dict(
        in_channels=32 + 64 + 128,
        out_channels=codec['num_keypoints'],
        num_queries=20,
        embed_dims=128,
        transformer=dict(
            num_encoder_layers=2,
            num_decoder_layers=3,
            num_heads=4,
            feedforward_channels=512,
            pre_norm=True,
            positional_encoding=dict(
                _delete_=True, type='SineLearnedPositionalEncoding', num_feats=32, size=(8, 8)
            ),
        ),
        decoder=codec,
    ),
    train_cfg=dict(max_persons=10),
    test_cfg=dict(score_thr=0.05, max_persons=10),
)

# data
dataset_type = 'CocoPersonDataset'
data_mode = 'bottomup'

# one size for all, as batches of several are padded to the largest
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='BottomupRandomChoiceResize', scales=[(192, 144)], keep_ratio=False),
    dict(type='PackPersonInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='BottomupRandomChoiceResize', scales=[(192, 144)], keep_ratio=True),
    dict(type='PackPersonInputs'),
]

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
    batch_size=16,
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

# hooks
default_hooks = dict(
    checkpoint=dict(interval=1, save_best='coco/AP', rule='greater', max_keep_ckpts=1),
    logger=dict(interval=20),
)
