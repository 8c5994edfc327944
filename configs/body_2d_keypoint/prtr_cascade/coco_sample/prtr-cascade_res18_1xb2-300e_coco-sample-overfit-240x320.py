# Overfits a few images of a COCO sample: trains and evaluates on the same
# annotation file, which tools/dataset_tools/coco_subset.py writes.
_base_ = '../_base_/prtr_cascade_small.py'

# The model trained by ../synthetic, which can already find joints in crops. With
# load_from=None this takes several times as many steps.
load_from = 'work_dirs/cascade/epoch_24.pth'

max_epochs = 300
train_cfg = dict(max_epochs=max_epochs, val_interval=50)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], end=max_epochs),
]
auto_scale_lr = dict(base_batch_size=2)

# more people in an image than in the synthetic ones
model = dict(train_cfg=dict(max_persons=20), test_cfg=dict(max_persons=20))

data_root = 'data/coco_sample/'
ann_file = 'annotations/person_keypoints_overfit_images.json'
# overfitting needs no augmentation
pipeline = [
    dict(type='LoadImage'),
    dict(type='BottomupRandomChoiceResize', scales=[(320, 240)], keep_ratio=True),
    dict(type='PackPersonInputs'),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(data_root=data_root, ann_file=ann_file, pipeline=pipeline)
)
val_dataloader = dict(
    batch_size=4,
    dataset=dict(
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(img='train2017/'),
        pipeline=pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(
        type='SafeCocoMetric',
        ann_file=data_root + ann_file,
        score_mode='bbox_keypoint',
        nms_mode='none',
    ),
    dict(type='PersonBoxMetric', ann_file=data_root + ann_file),
]
test_evaluator = val_evaluator
