# Leeds Sports Pose Extended in COCO's layout: 14 joints, one person an image.
_base_ = ['../_base_/prtr_small.py', '../_base_/lspe.py']
from prtr_plugin.datasets import topdown_pipelines

max_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=50),
    dict(_base_.param_scheduler[1], end=max_epochs),
]

codec = dict(_base_.codec, num_keypoints=14)
model = dict(head=dict(out_channels=14, decoder=codec))

data_root = 'data/lspe/'
train_pipeline, val_pipeline = topdown_pipelines(
    codec, bbox_transform='RandomBBoxTransform', scale_factor=(0.8, 1.2), rotate_factor=20.0
)
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
