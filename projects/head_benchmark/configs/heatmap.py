# mmpose's SimpleBaseline head: two deconvolutions to a quarter of the input,
# decoded without bias (DARK).
# Sizes and channels are half of those of its config for 256x192, as those of
# the backbone are.
_base_ = './budget.py'

# better than 1e-3 and 2e-3 for this head
optim_wrapper = dict(optimizer=dict(lr=4e-3))

codec = dict(
    type='MSRAHeatmap', input_size=(96, 128), heatmap_size=(24, 32), sigma=1, unbiased=True
)

model = dict(
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=128,
        out_channels=17,
        deconv_out_channels=(128, 128),
        deconv_kernel_sizes=(4, 4),
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
