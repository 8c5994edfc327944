_base_ = (
    '../../../configs/body_2d_keypoint/prtr_cascade/synthetic/'
    'prtr-cascade-plus_res18_1xb8-12e_synthetic-144x192.py'
)

# no workers: the budget is the time of one core
train_dataloader = dict(num_workers=0)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
