_base_ = [
    '../../prtr/lspe/td-prtr_res18_1xb32-1e_lspe-128x96.py',
    '../_base_/prtr_plus_small_head.py',
]

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
train_cfg = dict(max_epochs=20, val_interval=2)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], end=20),
]
optim_wrapper = dict(optimizer=dict(lr=4e-3))

model = dict(
    backbone=dict(out_indices=(0, 1, 2)),
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[32, 64, 128],
        out_channels=14,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
