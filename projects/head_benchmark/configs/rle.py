# mmpose's RLE head: coordinates and their deviation from pooled features, with
# the likelihood of a flow as loss.
_base_ = './budget.py'

codec = dict(type='RegressionLabel', input_size=(96, 128))

model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        _delete_=True,
        type='RLEHead',
        in_channels=128,
        num_joints=17,
        loss=dict(type='RLELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(shift_coords=True),
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
