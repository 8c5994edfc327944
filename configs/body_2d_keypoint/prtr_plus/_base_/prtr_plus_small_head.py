# Half as wide, for the small backbone that trains from scratch.
_base_ = './prtr_plus_head.py'

prtr_plus = dict(
    head=dict(
        embed_dims=128,
        transformer=dict(
            pixel_channels=96,
            num_heads=4,
            feedforward_channels=256,
            positional_encoding=dict(num_feats=64),
        ),
    )
)
