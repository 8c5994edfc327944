_base_ = './td-prtr_res50_4xb32-200e_mpii-256x256.py'
from prtr_plugin.datasets import topdown_pipelines

codec = dict(_base_.codec, input_size=(384, 384))
train_pipeline, val_pipeline = topdown_pipelines(codec, scale_factor=(0.75, 1.25), rotate_factor=30)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
model = dict(head=dict(decoder=codec))
