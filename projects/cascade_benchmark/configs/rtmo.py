# mmpose's RTMO-t from scratch, with the pictures, steps and schedule of the cascade.
# Losses, matching and their change in the middle of the training are RTMO's. Left
# out is what needs hundreds of epochs: mosaics, strong augmentation, random sizes,
# and the moving average of the weights.
_base_ = 'mmpose::body_2d_keypoint/rtmo/body7/rtmo-t_8xb32-600e_body7-416x416.py'

custom_imports = dict(imports=['prtr_plugin'], allow_failed_imports=False)

# pictures of 192x144, padded to a multiple of the largest stride
input_size = (192, 160)
max_epochs = 12
batch_size = 8
randomness = dict(seed=0)
train_cfg = dict(_delete_=True, by_epoch=True, max_epochs=max_epochs, val_interval=2)
auto_scale_lr = dict(base_batch_size=batch_size)
# the square root of the ratio of the batch sizes, rounded up, of 4e-3 for 256 pictures
optim_wrapper = dict(optimizer=dict(lr=1e-3))
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
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='EpochSeedHook'),
    dict(
        type='RTMOModeSwitchHook',
        epoch_attributes={
            # after 280 of 600 epochs
            6: {'proxy_target_cc': True, 'loss_mle.loss_weight': 5.0, 'loss_oks.loss_weight': 10.0}
        },
        priority=48,
    ),
]
default_hooks = dict(
    checkpoint=dict(
        _delete_=True,
        type='AtomicCheckpointHook',
        interval=1,
        save_best='coco/AP',
        rule='greater',
        max_keep_ckpts=1,
    ),
    logger=dict(interval=20),
)

codec = dict(type='YOLOXPoseAnnotationProcessor', input_size=input_size)
model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(init_cfg=None),
    test_cfg=dict(input_size=input_size),
)

# the only augmentation is the cascade's
train_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='BottomupRandomAffine',
        input_size=input_size,
        shift_prob=0,
        rotate_prob=0,
        scale_prob=0,
        scale_type='long',
        pad_val=(114, 114, 114),
        bbox_keep_corner=False,
        clip_border=True,
    ),
    dict(type='RandomFlip'),
    dict(type='BottomupGetHeatmapMask', get_invalid=True),
    dict(type='FilterAnnotations', by_kpt=True, by_box=True, keep_empty=False),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='BottomupResize', input_size=input_size, pad_val=(114, 114, 114)),
    dict(
        type='PackPoseInputs',
        meta_keys=(
            'id',
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'input_size',
            'input_center',
            'input_scale',
        ),
    ),
]

data_root = 'data/synthetic_people/'
train_dataloader = dict(
    _delete_=True,
    batch_size=batch_size,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        data_mode='bottomup',
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    _delete_=True,
    batch_size=16,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        data_mode='bottomup',
        ann_file='annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

ann_file = f'{data_root}annotations/person_keypoints_val2017.json'
val_evaluator = [
    dict(type='SafeCocoMetric', ann_file=ann_file, score_mode='bbox', nms_mode='none'),
    dict(type='PersonBoxMetric', ann_file=ann_file),
]
test_evaluator = val_evaluator
