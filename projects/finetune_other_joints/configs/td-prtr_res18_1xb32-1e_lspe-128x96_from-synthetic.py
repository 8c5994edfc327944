# From the 17 joints of synthetic people to the 14 of photographs of sport.
# Schedule and data are those of the training from scratch.
_base_ = '../../../configs/body_2d_keypoint/prtr/lspe/td-prtr_res18_1xb32-1e_lspe-128x96.py'

# what map_joints.py has made of the other checkpoint
load_from = 'work_dirs/finetune/start.pth'
