# mmpose's SimpleBaseline head: deconvolutions to a quarter of the input,
# decoded without bias (DARK).
# Sizes and channels are half of those of its config for 256x192, as those of
# the backbone are.
_base_ = './track_{{$PRTR_TRACK:a}}.py'

# a: better than 1e-3 and 2e-3, level with 8e-3 after 3 epochs;
# b: the best of 4e-3, 8e-3 and 16e-3 after 3 epochs, and 0.005 better than 4e-3 after 20
optim_wrapper = dict(optimizer=dict(lr=dict(a=4e-3, b=8e-3, c=1e-3)[_base_.track]))

codec = dict(
    type='MSRAHeatmap', input_size=(96, 128), heatmap_size=(24, 32), sigma=1, unbiased=True
)
num_deconvs = {16: 2, 32: 3}[_base_.stride]

model = dict(
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=_base_.channels[-1],
        out_channels=_base_.num_keypoints,
        deconv_out_channels=(128,) * num_deconvs,
        deconv_kernel_sizes=(4,) * num_deconvs,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_mode='heatmap', shift_heatmap=True),
)

# the same augmentation, other targets
train_pipeline = [
    dict(step, encoder=codec) if step['type'] == 'GenerateTarget' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
