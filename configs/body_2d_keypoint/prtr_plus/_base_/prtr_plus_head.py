# PRTR+, which is not in the paper: keypoint queries are kernels over a pixel map,
# each starts as one joint, and scores are confidences.
# The head, its losses and matching, and the schedule are only here. A config puts
# them in the place of those of a PRTR config, whose data and backbone it keeps,
# and adds its channels, joints and codec.
prtr_plus = dict(
    head=dict(
        type='PRTRHead',
        # a few more than joints
        num_queries=20,
        embed_dims=256,
        transformer=dict(
            type='PixelPRTRTransformer',
            pixel_channels=192,
            num_encoder_layers=1,
            num_decoder_layers=2,
            window=5,
            peak_sigma=1.5,
            num_heads=8,
            feedforward_channels=512,
            positional_encoding=dict(
                type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True
            ),
        ),
        class_bias=4.0,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0),
        loss_kpt=dict(type='TruncatedL1Loss', max_error=0.1, loss_weight=5.0),
        loss_map=dict(type='KeypointMapLoss', sigma=1.0, loss_weight=3.0),
        # the class decides, and the position between equals
        assigner=dict(
            type='KeypointHungarianAssigner',
            match_costs=[
                dict(type='KeypointClassificationCost', weight=10.0),
                dict(type='KeypointL1Cost', weight=1.0),
            ],
        ),
    ),
    codec=dict(include_background=True),
    test_cfg=dict(flip_test=True, shift_coords=True),
    # the whole network is trained with one learning rate
    optim_wrapper=dict(
        constructor='GroupedOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
        paramwise_cfg=dict(norm_decay_mult=0.0),
        clip_grad=dict(max_norm=1.0),
    ),
    param_scheduler=[
        dict(type='LinearLR', begin=0, end=500, start_factor=0.01, by_epoch=False),
        dict(
            type='CosineAnnealingLR',
            begin=0,
            end=210,
            eta_min_ratio=0.01,
            by_epoch=True,
            convert_to_iter_based=True,
        ),
    ],
)
