# COCO at 384x288 with ResNet-50: 4 GPUs, 32 people on each.
_base_ = ['./prtr_base.py', './data_coco.py']

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=200, milestones=[120, 140], gamma=0.5, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=128)

# hooks
default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# model settings
model = dict(head=dict(out_channels=17, decoder=_base_.codec))
