# The paper's protocol on ground-truth boxes, for training and testing. Unlike in
# mmpose's CocoDataset and LoadImage, boxes lose a pixel in width and height (see
# ClipBBoxInclusive), and the orientation flag of an image file is ignored.
_base_ = './td-prtr_res50_4xb32-200e_coco-384x288.py'

# pipelines
load_and_clip = [
    dict(type='LoadImage', color_type='color_ignore_orientation'),
    dict(type='ClipBBoxInclusive'),
]
train_pipeline = load_and_clip + _base_.train_pipeline[1:]
val_pipeline = load_and_clip + _base_.val_pipeline[1:]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(bbox_file=None, pipeline=val_pipeline))
test_dataloader = val_dataloader
