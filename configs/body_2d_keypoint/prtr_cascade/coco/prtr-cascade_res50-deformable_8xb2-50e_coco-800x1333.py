# The keypoint head with the transformer of the deformable variant.
_base_ = './prtr-cascade_res50_8xb2-50e_coco-800x1333.py'

# optimizer: reference points and sampling offsets learn slowly, as in the two-stage models
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'reference_points': dict(lr_mult=0.1), 'sampling_offsets': dict(lr_mult=0.1)}
    )
)

# model settings
model = dict(
    head=dict(
        with_kpt_refine=False,
        embed_dims=256,
        transformer=dict(
            type='DeformablePRTRTransformer',
            # of 10x10, 5x5 and 3x3 tokens for each crop
            num_feature_levels=3,
            num_points=4,
            norm_cfg=dict(type='GN', num_groups=32),
            # a learned encoding has one size, and these levels have three
            positional_encoding=dict(
                _delete_=True, type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True
            ),
        ),
    )
)
