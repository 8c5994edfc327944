# mmpose's SimCC head: two classifications, one of the bins of each axis.
# Sizes are half of those of its config for 256x192 without deconvolutions.
_base_ = './track_{{$PRTR_TRACK:a}}.py'

# a: better than 1e-3 to 8e-3 and 32e-3; b: the only one trained; c was not trained
optim_wrapper = dict(optimizer=dict(lr=dict(a=16e-3, b=16e-3, c=1e-3)[_base_.track]))

codec = dict(type='SimCCLabel', input_size=(96, 128), sigma=3.0, simcc_split_ratio=2.0)

model = dict(
    head=dict(
        _delete_=True,
        type='SimCCHead',
        in_channels=_base_.channels[-1],
        out_channels=_base_.num_keypoints,
        input_size=codec['input_size'],
        in_featuremap_size=(96 // _base_.stride, 128 // _base_.stride),
        simcc_split_ratio=codec['simcc_split_ratio'],
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=codec,
    )
)

# the same augmentation, other targets
train_pipeline = [
    dict(step, encoder=codec) if step['type'] == 'GenerateTarget' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
