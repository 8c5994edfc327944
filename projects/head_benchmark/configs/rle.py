# mmpose's RLE head: coordinates and their deviation from pooled features, with
# the likelihood of a flow as loss.
_base_ = './track_{{$PRTR_TRACK:a}}.py'

# a: better than 1e-3, 2e-3, 8e-3 and 16e-3; b and c were not trained
optim_wrapper = dict(optimizer=dict(lr=dict(a=4e-3, b=1e-3, c=1e-3)[_base_.track]))

codec = dict(type='RegressionLabel', input_size=(96, 128))

model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        _delete_=True,
        type='RLEHead',
        in_channels=_base_.channels[-1],
        num_joints=_base_.num_keypoints,
        loss=dict(type='RLELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(shift_coords=True),
)

# the same augmentation, other targets
train_pipeline = [
    dict(step, encoder=codec) if step['type'] == 'GenerateTarget' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
