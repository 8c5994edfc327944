# The hands of COCO-WholeBody: 21 joints each, left and right alike.
_base_ = '../../../body_2d_keypoint/prtr/_base_/prtr_coco.py'

# hooks
default_hooks = dict(checkpoint=dict(save_best='AUC', rule='greater'))

# codec settings
codec = dict(type='HungarianKeypointCodec', input_size=(256, 256), num_keypoints=21)

# model settings
model = dict(head=dict(out_channels=21, decoder=codec))

# base dataset settings
dataset_type = 'CocoWholeBodyHandDataset'
data_root = 'data/coco/'

# pipelines: hands point anywhere, so angles are clipped at 180 degrees
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxClippedNormal',
        shift_prob=0,
        scale_factor=(0.7, 1.3),
        rotate_factor=90,
        rotate_prob=0.6,
    ),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

# data loaders
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        ann_file='annotations/coco_wholebody_train_v1.0.json',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        ann_file='annotations/coco_wholebody_val_v1.0.json',
        # the annotated boxes
        bbox_file=None,
        pipeline=val_pipeline,
    )
)
test_dataloader = val_dataloader

# evaluators
val_evaluator = [dict(type='PCKAccuracy', thr=0.2), dict(type='AUC'), dict(type='EPE')]
test_evaluator = val_evaluator
