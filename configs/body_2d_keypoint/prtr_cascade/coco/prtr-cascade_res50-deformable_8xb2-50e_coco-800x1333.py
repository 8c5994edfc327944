# The keypoint part with the transformer of the deformable variant.
_base_ = './prtr-cascade_res50_8xb2-50e_coco-800x1333.py'

# optimizer: what tells places learns slowly, as in the two-stage models
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'reference_points': dict(lr_mult=0.1), 'sampling_offsets': dict(lr_mult=0.1)}
    )
)

# model settings
model = dict(
    head=dict(
        embed_dims=256,
        transformer=dict(
            type='DeformablePRTRTransformer',
            # levels of 10x10, 5x5 and 3x3 of each crop
            num_feature_levels=3,
            num_points=4,
            # a learned encoding is of one size, and these levels are of three
            positional_encoding=dict(
                _delete_=True, type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True
            ),
            norm_cfg=dict(type='GN', num_groups=32),
        ),
        with_kpt_refine=False,
    )
)
