_base_ = './td-prtr_res50_4xb32-200e_coco-384x288.py'

# model settings
model = dict(
    backbone=dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'))
)
