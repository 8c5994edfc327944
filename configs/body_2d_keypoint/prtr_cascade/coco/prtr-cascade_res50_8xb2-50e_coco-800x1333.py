_base_ = '../_base_/prtr_cascade_coco.py'
