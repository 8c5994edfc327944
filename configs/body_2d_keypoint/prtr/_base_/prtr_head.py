# The paper's keypoint head, which all configs start from: the losses and the
# matching are only here. A config adds its channels, joints and codec.
model = dict(
    head=dict(
        type='PRTRHead',
        num_queries=100,
        embed_dims=256,
        transformer=dict(
            type='PRTRTransformer',
            num_encoder_layers=6,
            num_decoder_layers=6,
            num_heads=8,
            feedforward_channels=2048,
            dropout=0.0,
            pre_norm=False,
            positional_encoding=dict(
                type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True
            ),
        ),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0),
        loss_kpt=dict(type='L1Loss', use_target_weight=True, loss_weight=5.0),
        assigner=dict(
            type='KeypointHungarianAssigner',
            match_costs=[
                dict(type='KeypointClassificationCost', weight=1.0),
                dict(type='KeypointL1Cost', weight=5.0),
            ],
        ),
    )
)
