# Overfits a few people of a COCO sample: trains and evaluates on the same
# annotation file, which tools/dataset_tools/coco_subset.py writes.
_base_ = '../_base_/prtr_small.py'
from prtr_plugin.datasets import topdown_pipelines

max_epochs = 300
train_cfg = dict(max_epochs=max_epochs, val_interval=50)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=50),
    dict(_base_.param_scheduler[1], end=max_epochs),
]

data_root = 'data/coco_sample/'
ann_file = 'annotations/person_keypoints_overfit.json'
# overfitting needs no augmentation
train_pipeline, val_pipeline = topdown_pipelines(_base_.codec, flip=False, bbox_transform=None)
train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file=ann_file, pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file=ann_file, data_prefix=dict(img='train2017/'))
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator
model = dict(test_cfg=dict(flip_test=False))
