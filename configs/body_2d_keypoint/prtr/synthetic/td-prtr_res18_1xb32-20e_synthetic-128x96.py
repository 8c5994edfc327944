# The head of the paper from scratch, in minutes: CONFIG of tools/quickstart.sh.
_base_ = '../_base_/prtr_small.py'

data_root = 'data/synthetic_people/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=f'{data_root}annotations/person_keypoints_val2017.json')
test_evaluator = val_evaluator
