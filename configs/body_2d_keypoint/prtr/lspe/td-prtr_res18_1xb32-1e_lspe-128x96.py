# Leeds Sports Pose Extended in COCO's layout: 14 joints, one person an image.
_base_ = ['../_base_/prtr_small.py', '../_base_/lspe.py']

max_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

codec = dict(type='HungarianKeypointCodec', input_size=(96, 128), num_keypoints=14)
model = dict(head=dict(out_channels=14, decoder=codec))

data_root = 'data/lspe/'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=(0.8, 1.2), rotate_factor=20.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=_base_.dataset_info,
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=_base_.dataset_info,
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/'),
    )
)
test_dataloader = val_dataloader

# share of joints within 20 % of the longer side of the box
val_evaluator = dict(_delete_=True, type='PCKAccuracy', thr=0.2, norm_item='bbox')
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='PCK'))
