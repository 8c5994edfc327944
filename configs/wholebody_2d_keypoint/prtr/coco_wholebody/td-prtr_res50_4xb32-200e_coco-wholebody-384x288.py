# COCO-WholeBody: 133 joints of body, feet, face and hands.
_base_ = '../../../body_2d_keypoint/prtr/_base_/prtr_coco.py'

# hooks
default_hooks = dict(checkpoint=dict(save_best='coco-wholebody/AP'))

# codec settings
codec = dict(type='HungarianKeypointCodec', input_size=(288, 384), num_keypoints=133)

# model settings: every joint needs a query of its own, and some to choose from
model = dict(head=dict(out_channels=133, num_queries=300, decoder=codec))

# base dataset settings
dataset_type = 'CocoWholeBodyDataset'
data_root = 'data/coco/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxClippedNormal',
        shift_prob=0,
        scale_factor=(0.7, 1.3),
        rotate_factor=40,
        rotate_prob=0.6,
    ),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
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
    dataset=dict(type=dataset_type, ann_file='annotations/coco_wholebody_val_v1.0.json')
)
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='CocoWholeBodyMetric', ann_file=f'{data_root}annotations/coco_wholebody_val_v1.0.json'
)
test_evaluator = val_evaluator
