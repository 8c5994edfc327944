_base_ = './td-prtr_res50_4xb32-200e_mpii-256x256.py'

# model settings
model = dict(
    backbone=dict(depth=152, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152'))
)
