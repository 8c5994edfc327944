# The head of PRTR+, on maps of the sizes that it has in the two-stage model at 256x192.
_base_ = [
    './prtr-cascade_res50_8xb2-50e_coco-800x1333.py',
    '../../prtr_plus/_base_/prtr_plus_head.py',
]

codec = dict(_base_.codec, **_base_.prtr_plus.codec)

# a map for each level, sampled where the pixel map has its pixels
crop = dict(zoom=1.25, align_corners=False)
model = dict(
    crop=[
        dict(crop, resolution=(48, 64), levels=(0,)),
        dict(crop, resolution=(24, 32), levels=(1,)),
        dict(crop, resolution=(12, 16), levels=(2,)),
        dict(crop, resolution=(6, 8), levels=(3,)),
    ],
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[256, 512, 1024, 2048],
        out_channels=17,
        decoder=codec,
    ),
)
