# PRTR+
_base_ = './budget.py'

model = dict(
    backbone=dict(out_indices=(0, 1, 2)),
    head=dict(
        _delete_=True,
        type='PRTRHead',
        in_channels=[32, 64, 128],
        out_channels=17,
        num_queries=20,
        embed_dims=128,
        transformer=dict(
            type='PixelPRTRTransformer',
            num_encoder_layers=1,
            num_decoder_layers=2,
            num_refine_layers=1,
            num_heads=4,
            feedforward_channels=256,
            pixel_channels=64,
            positional_encoding=dict(
                type='mmdet.SinePositionalEncoding', num_feats=64, normalize=True
            ),
        ),
        with_kpt_refine=True,
        class_bias=4.0,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0),
        loss_kpt=dict(type='L1Loss', use_target_weight=True, loss_weight=5.0),
        loss_map=dict(type='KeypointMapLoss', sigma=1.0, loss_weight=1.0),
        assigner=dict(
            type='KeypointHungarianAssigner',
            match_costs=[
                dict(type='KeypointClassificationCost', weight=10.0),
                dict(type='KeypointL1Cost', weight=1.0),
            ],
        ),
        decoder=dict(
            type='HungarianKeypointCodec',
            input_size=(96, 128),
            num_keypoints=17,
            # the scores of joints are then their confidences
            include_background=True,
        ),
    ),
)
