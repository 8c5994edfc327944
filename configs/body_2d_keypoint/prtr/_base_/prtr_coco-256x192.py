# COCO at 256x192, for backbones that are not in the paper.
_base_ = './prtr_coco.py'
from prtr_plugin.datasets import topdown_pipelines

codec = dict(_base_.codec, input_size=(192, 256))
train_pipeline, val_pipeline = topdown_pipelines(codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
# the order of colours that mmpose's pretrained backbones expect
model = dict(data_preprocessor=dict(bgr_to_rgb=True), head=dict(decoder=codec))
