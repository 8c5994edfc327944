_base_ = './td-prtr-plus_res50_4xb32-210e_coco-256x192.py'
from prtr_plugin.datasets import topdown_pipelines

codec = dict(_base_.codec, input_size=(288, 384))
train_pipeline, val_pipeline = topdown_pipelines(codec)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
model = dict(head=dict(decoder=codec))
