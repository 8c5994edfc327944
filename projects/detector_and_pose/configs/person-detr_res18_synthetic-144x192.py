# A detector of mmdet for synthetic people: the person detector of the small
# cascade. cascade_to_detector.py extracts its weights from a cascade's.
_base_ = '../../../configs/body_2d_keypoint/prtr_cascade/_base_/prtr_cascade_small.py'

default_scope = 'mmdet'

model = dict(
    _delete_=True,
    type='mmpose.ProposalPersonDETR',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    num_queries={{_base_.model.detector.num_queries}},
    # of the feature levels that the cascade crops from, the detector uses the last
    backbone=dict(_base_.model.detector.backbone, out_indices=(2,)),
    neck={{_base_.model.detector.neck}},
    encoder={{_base_.model.detector.encoder}},
    decoder={{_base_.model.detector.decoder}},
    positional_encoding={{_base_.model.detector.positional_encoding}},
    bbox_head={{_base_.model.detector.bbox_head}},
    test_cfg=dict(max_per_img=10),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(192, 144), keep_ratio=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        metainfo=dict(classes=('person',), palette=[(220, 20, 60)]),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

visualizer = dict(_delete_=True, type='DetLocalVisualizer')
