# MPII at 256x256 with ResNet-50: 4 GPUs, 32 people on each.
_base_ = ['./prtr_base.py', './data_mpii.py']

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=200, milestones=[130], gamma=0.5, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=128)

# hooks
default_hooks = dict(checkpoint=dict(save_best='PCK', rule='greater'))

# model settings
model = dict(head=dict(out_channels=16, decoder=_base_.codec))
