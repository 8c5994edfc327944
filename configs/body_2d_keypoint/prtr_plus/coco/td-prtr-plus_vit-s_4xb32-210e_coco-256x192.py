# The only map has stride 16: it becomes the tokens and, after them, the pixel map.
_base_ = ['../../prtr/coco/td-prtr_vit-s_4xb32-200e_coco-256x192.py', '../_base_/prtr_plus_head.py']

codec = dict(_base_.codec, **_base_.prtr_plus.codec)
train_cfg = dict(max_epochs=210)
optim_wrapper = dict(_base_.prtr_plus.optim_wrapper, _delete_=True)
param_scheduler = _base_.prtr_plus.param_scheduler

model = dict(
    head=dict(
        _base_.prtr_plus.head,
        _delete_=True,
        in_channels=[384],
        out_channels=17,
        # a pixel is as wide as what OKS allows: nothing to blur
        transformer=dict(_base_.prtr_plus.head.transformer, peak_sigma=0),
        decoder=codec,
    ),
    test_cfg=_base_.prtr_plus.test_cfg,
)
