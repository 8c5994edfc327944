# PRTR+, which is not in the paper: queries are kernels over a pixel map of
# stride 4, each starts as one joint, and scores are confidences.
_base_ = './budget.py'

model = dict(
    backbone=dict(out_indices=(0, 1, 2)),
    head=dict(
        in_channels=[32, 64, 128],
        transformer=dict(
            _delete_=True,
            type='PixelPRTRTransformer',
            pixel_channels=128,
            num_encoder_layers=1,
            num_decoder_layers=2,
            num_heads=4,
            feedforward_channels=256,
            positional_encoding=dict(
                type='mmdet.SinePositionalEncoding', num_feats=64, normalize=True
            ),
        ),
        class_bias=4.0,
        loss_kpt=dict(_delete_=True, type='TruncatedL1Loss', max_error=0.1, loss_weight=5.0),
        loss_map=dict(type='KeypointMapLoss', sigma=1.0, loss_weight=3.0),
        # the class decides, and the position between equals
        assigner=dict(
            match_costs=[
                dict(type='KeypointClassificationCost', weight=10.0),
                dict(type='KeypointL1Cost', weight=1.0),
            ]
        ),
        decoder=dict(include_background=True),
    ),
    test_cfg=dict(shift_coords=True),
)
