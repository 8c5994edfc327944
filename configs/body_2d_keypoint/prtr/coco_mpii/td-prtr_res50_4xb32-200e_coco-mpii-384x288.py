# COCO and MPII together, for COCO's 17 joints; tested on COCO.
_base_ = '../_base_/prtr_coco.py'

# base dataset settings
data_root = 'data/'
data_mode = 'topdown'

# (MPII, COCO) of the joints that both have. MPII lacks eyes, ears and nose: the
# converter makes them unlabelled. COCO lacks pelvis, thorax, neck and head top.
mpii_to_coco = [
    (0, 16),  # right ankle
    (1, 14),  # right knee
    (2, 12),  # right hip
    (3, 11),  # left hip
    (4, 13),  # left knee
    (5, 15),  # left ankle
    (10, 10),  # right wrist
    (11, 8),  # right elbow
    (12, 6),  # right shoulder
    (13, 5),  # left shoulder
    (14, 7),  # left elbow
    (15, 9),  # left wrist
]

dataset_coco = dict(
    type='CocoDataset',
    data_root=f'{data_root}coco/',
    data_mode=data_mode,
    ann_file='annotations/person_keypoints_train2017.json',
    data_prefix=dict(img='train2017/'),
    pipeline=[],
)
dataset_mpii = dict(
    type='MpiiDataset',
    data_root=f'{data_root}mpii/',
    data_mode=data_mode,
    ann_file='annotations/mpii_train.json',
    data_prefix=dict(img='images/'),
    pipeline=[dict(type='KeypointConverter', num_keypoints=17, mapping=mpii_to_coco)],
)

# data loaders
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        # mmpose's file
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[dataset_coco, dataset_mpii],
        pipeline=_base_.train_pipeline,
    )
)
