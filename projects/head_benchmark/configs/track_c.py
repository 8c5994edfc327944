# Track C: the photographs of track B, 8 epochs in batches of 32, from an
# EfficientNet-Lite0 that was trained on ImageNet. README.md says where the weights
# come from.
_base_ = './track_b.py'

track = 'c'
# maps of the backbone: channels, indices and the stride of the last one
channels = [24, 40, 112, 320]
out_indices = (1, 2, 3, 4)
stride = 32

max_epochs = 8
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]

# depthwise convolutions take two thirds of the time so
custom_hooks = [*_base_.custom_hooks, dict(type='ChannelsLastHook')]

model = dict(
    # mean and deviation of these weights
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=out_indices[-1:],
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/efficientnet-lite0.pth'),
    ),
    head=dict(in_channels=channels[-1]),
)
