# Learns to find people and their joints from nothing.
_base_ = '../_base_/prtr_cascade_small.py'

data_root = 'data/synthetic_people/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

ann_file = f'{data_root}annotations/person_keypoints_val2017.json'
val_evaluator = [
    dict(type='SafeCocoMetric', ann_file=ann_file, score_mode='bbox_keypoint', nms_mode='none'),
    dict(type='PersonBoxMetric', ann_file=ann_file),
]
test_evaluator = val_evaluator
