_base_ = '../_base_/prtr_coco.py'
