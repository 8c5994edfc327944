_base_ = ['../_base_/prtr_hrnet-w32.py', '../_base_/data_coco.py']

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=200, milestones=[70, 95], gamma=0.5, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=64)

# hooks
default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# model settings
model = dict(head=dict(out_channels=17, decoder=_base_.codec))

# data loaders
train_dataloader = dict(batch_size=16)
