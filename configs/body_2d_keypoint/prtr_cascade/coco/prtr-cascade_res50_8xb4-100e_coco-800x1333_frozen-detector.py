_base_ = './prtr-cascade_res50_8xb2-50e_coco-800x1333.py'

# runtime
train_cfg = dict(max_epochs=100, val_interval=10)

# learning policy
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=100, milestones=[80], gamma=0.1, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=32)

# model settings
model = dict(freeze_detector=True)

# data loaders: the keypoint head learns nothing from images without people
train_dataloader = dict(batch_size=4, dataset=dict(filter_cfg=dict(filter_empty_gt=True)))
