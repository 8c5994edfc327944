# The config of tools/quickstart.sh.
_base_ = [
    '../../prtr/synthetic/td-prtr_res18_1xb32-20e_synthetic-128x96.py',
    '../_base_/prtr_plus_small_head.py',
]

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
train_cfg = dict(max_epochs=5, val_interval=2)
param_scheduler = [dict(_base_.param_scheduler[0], end=100), dict(_base_.param_scheduler[1], end=5)]
optim_wrapper = dict(optimizer=dict(lr=4e-3))
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=16)

model = dict(
    backbone=dict(out_indices=(0, 1, 2)),
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[32, 64, 128],
        out_channels=17,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
