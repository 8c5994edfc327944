# mmpose's SimCC head: two classifications, one of the bins of each axis.
# Sizes are half of those of its config for 256x192 without deconvolutions.
_base_ = './budget.py'

codec = dict(type='SimCCLabel', input_size=(96, 128), sigma=3.0, simcc_split_ratio=2.0)

model = dict(
    head=dict(
        _delete_=True,
        type='SimCCHead',
        in_channels=128,
        out_channels=17,
        input_size=codec['input_size'],
        in_featuremap_size=(6, 8),
        simcc_split_ratio=codec['simcc_split_ratio'],
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=codec,
    )
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.25),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=(0.8, 1.2), rotate_factor=20.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
