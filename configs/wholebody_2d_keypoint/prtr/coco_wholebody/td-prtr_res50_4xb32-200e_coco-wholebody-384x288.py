# COCO-WholeBody: 133 joints of body, feet, face and hands.
_base_ = '../../../body_2d_keypoint/prtr/_base_/prtr_coco.py'
from prtr_plugin.datasets import topdown_pipelines

# hooks
default_hooks = dict(checkpoint=dict(save_best='coco-wholebody/AP'))

# codec settings
codec = dict(_base_.codec, num_keypoints=133)

# model settings: every joint needs a query of its own, and some to choose from
model = dict(head=dict(out_channels=133, num_queries=300, decoder=codec))

# base dataset settings
dataset_type = 'CocoWholeBodyDataset'
data_root = 'data/coco/'

# pipelines
train_pipeline, val_pipeline = topdown_pipelines(codec)

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
