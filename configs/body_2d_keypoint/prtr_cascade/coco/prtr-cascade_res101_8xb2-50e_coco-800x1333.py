_base_ = './prtr-cascade_res50_8xb2-50e_coco-800x1333.py'

load_from = 'data/detr/detr_r101_person.pth'

# model settings
model = dict(detector=dict(backbone=dict(depth=101)))
