# The hands of COCO-WholeBody: 21 joints each, left and right alike.
_base_ = '../../../body_2d_keypoint/prtr/_base_/prtr_coco.py'
from prtr_plugin.datasets import topdown_pipelines

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
train_pipeline, val_pipeline = topdown_pipelines(codec, rotate_factor=90)

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
