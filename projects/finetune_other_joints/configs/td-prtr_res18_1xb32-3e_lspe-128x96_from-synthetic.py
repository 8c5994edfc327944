# From the 17 joints of synthetic people to the 14 of photographs of sport.
_base_ = ('../../../configs/body_2d_keypoint/prtr/lspe/'
          'td-prtr_res18_1xb32-1e_lspe-128x96.py')

# what map_joints.py has made of the other checkpoint
load_from = 'work_dirs/finetune/start.pth'

max_epochs = 3
train_cfg = dict(max_epochs=max_epochs)
# half of the learning rate from scratch
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True)
]
