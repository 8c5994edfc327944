# The paper's head, in the time of the others.
_base_ = (
    '../../../configs/body_2d_keypoint/prtr_cascade/synthetic/'
    'prtr-cascade_res18_1xb8-24e_synthetic-144x192.py'
)

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]

# no workers: the budget is the time of one core
train_dataloader = dict(num_workers=0)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
