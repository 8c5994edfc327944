_base_ = './td-prtr_res50_4xb32-200e_mpii-512x512.py'

# model settings
model = dict(
    backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'))
)

# data loaders
train_dataloader = dict(batch_size=16)

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=64)
