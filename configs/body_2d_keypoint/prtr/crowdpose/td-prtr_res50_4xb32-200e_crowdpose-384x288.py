# CrowdPose: 14 joints, scored by how crowded the image is.
_base_ = '../_base_/prtr_coco.py'
from prtr_plugin.datasets import topdown_pipelines

# hooks
default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP'))

# codec settings
codec = dict(_base_.codec, num_keypoints=14)

# model settings
model = dict(head=dict(out_channels=14, decoder=codec))

# base dataset settings
dataset_type = 'CrowdPoseDataset'
data_root = 'data/crowdpose/'

# pipelines
train_pipeline, val_pipeline = topdown_pipelines(codec)

# data loaders
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/mmpose_crowdpose_trainval.json',
        data_prefix=dict(img='images/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/mmpose_crowdpose_test.json',
        bbox_file=f'{data_root}annotations/det_for_crowd_test_0.1_0.5.json',
        data_prefix=dict(img='images/'),
    )
)
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='SafeCocoMetric',
    ann_file=f'{data_root}annotations/mmpose_crowdpose_test.json',
    use_area=False,
    iou_type='keypoints_crowd',
    prefix='crowdpose',
)
test_evaluator = val_evaluator
