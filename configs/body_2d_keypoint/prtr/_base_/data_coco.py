# COCO at 384x288: crops, loaders and metric.
_base_ = []  # without it mmengine would take this for a pure Python config
from prtr_plugin.datasets import topdown_pipelines

# codec settings
codec = dict(type='HungarianKeypointCodec', input_size=(288, 384), num_keypoints=17)

# base dataset settings
dataset_type = 'CocoDataset'
data_mode = 'topdown'
data_root = 'data/coco/'

# pipelines
train_pipeline, val_pipeline = topdown_pipelines(codec)

# data loaders
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=False,
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
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_val2017.json',
        # The authors' DETR detections (see README.md).
        bbox_file=f'{data_root}person_detection_results/COCO_val2017_detr_detections.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='SafeCocoMetric', ann_file=f'{data_root}annotations/person_keypoints_val2017.json'
)
test_evaluator = val_evaluator
