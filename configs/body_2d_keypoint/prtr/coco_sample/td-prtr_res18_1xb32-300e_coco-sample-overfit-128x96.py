# Overfits a few people of a COCO sample: trains and evaluates on the same
# annotation file, which tools/dataset_tools/coco_subset.py writes.
_base_ = '../_base_/prtr_small.py'

max_epochs = 300
train_cfg = dict(max_epochs=max_epochs, val_interval=50)
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

data_root = 'data/coco_sample/'
ann_file = 'annotations/person_keypoints_overfit.json'
# what is learned by heart needs no augmentation
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='TopdownAffine', input_size=_base_.codec.input_size),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PackPoseInputs'),
]
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
