# Track B: photographs (LSPE), 20 epochs in batches of 32, from scratch.
_base_ = [
    '../../../configs/body_2d_keypoint/prtr/_base_/prtr_small.py',
    '../../../configs/body_2d_keypoint/prtr/_base_/lspe.py',
]
from prtr_plugin.datasets import topdown_pipelines

track = 'b'
num_keypoints = 14
# maps of the backbone: channels, indices and the stride of the last one
channels = [32, 64, 128]
out_indices = (0, 1, 2)
stride = 16

max_epochs = 20
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], end=max_epochs),
]

codec = dict(_base_.codec, num_keypoints=num_keypoints)
model = dict(head=dict(out_channels=num_keypoints, decoder=codec))

# the scale and rotation of mmpose's configs for photographs, half as strong
train_pipeline, val_pipeline = topdown_pipelines(
    codec, bbox_transform='RandomBBoxTransform', scale_factor=(0.7, 1.3), rotate_factor=40.0
)

data_root = 'data/lspe/'
# no workers: the budget is the time of one core
train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        data_root=data_root,
        metainfo=_base_.dataset_info,
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=_base_.dataset_info,
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/'),
    ),
)
test_dataloader = val_dataloader

# Share of joints within 10 % and 20 % of the longer side of the box. coco/AR is
# the precision of OKS: with one prediction for each person, the share of people
# whose OKS is above a threshold, as mean over COCO's thresholds.
val_evaluator = [
    dict(type='PCKAccuracy', thr=0.1, norm_item='bbox', prefix='PCK@0.1'),
    dict(type='PCKAccuracy', thr=0.2, norm_item='bbox', prefix='PCK@0.2'),
    dict(type='SafeCocoMetric', ann_file=f'{data_root}annotations/person_keypoints_val.json'),
]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='PCK@0.1/PCK'))
