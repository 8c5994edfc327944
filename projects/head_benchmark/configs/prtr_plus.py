# PRTR+, which is not in the paper, with the head of its small configs.
_base_ = [
    './track_{{$PRTR_TRACK:a}}.py',
    '../../../configs/body_2d_keypoint/prtr_plus/_base_/prtr_plus_small_head.py',
]

# a: better than 2e-3 after 3 epochs, and than 8e-3 after 12;
# b: level with 2e-3 and better than 8e-3 after 3
optim_wrapper = dict(optimizer=dict(lr=dict(a=4e-3, b=4e-3, c=1e-3)[_base_.track]))

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
model = dict(
    backbone=dict(out_indices=_base_.out_indices),
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=_base_.channels,
        out_channels=_base_.num_keypoints,
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
