# PRTR+, which is not in the paper, with the head of its small configs.
_base_ = [
    './budget.py',
    '../../../configs/body_2d_keypoint/prtr_plus/_base_/prtr_plus_small_head.py',
]

# better than 1e-3 for this head
optim_wrapper = dict(optimizer=dict(lr=2e-3))

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
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
