# The head of PRTR+ on crops of three levels, the finest of them for its pixel map.
_base_ = [
    './prtr-cascade_res18_1xb8-24e_synthetic-144x192.py',
    '../../prtr_plus/_base_/prtr_plus_small_head.py',
]

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]

# a map for each level, sampled where the pixel map has its pixels
crop = dict(zoom=1.25, align_corners=False)
model = dict(
    # more proposals learn from each person, and the decoder chooses among them
    detector=dict(bbox_head=dict(num_proposal_matches=4)),
    crop=[
        dict(crop, resolution=(16, 24), levels=(0,)),
        dict(crop, resolution=(8, 12), levels=(1,)),
        dict(crop, resolution=(4, 6), levels=(2,)),
    ],
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[32, 64, 128],
        out_channels=17,
        decoder=codec,
    ),
    # as several proposals learn from a person, some people are found twice
    test_cfg=dict(nms_thr=0.7),
)
