# Track A: synthetic people, 12 epochs in batches of 16, from scratch.
# Common to all heads: backbone, people, augmentation, optimizer and the number
# of steps. The rest is in the file of each head.
_base_ = '../../../configs/body_2d_keypoint/prtr/_base_/prtr_small.py'

track = 'a'
num_keypoints = 17
# maps of the backbone: channels, indices and the stride of the last one
channels = [32, 64, 128]
out_indices = (0, 1, 2)
stride = 16

max_epochs = 12
batch_size = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

data_root = 'data/synthetic_people/'
# no workers: the budget is the time of one core
train_dataloader = dict(batch_size=batch_size, num_workers=0, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=f'{data_root}annotations/person_keypoints_val2017.json')
test_evaluator = val_evaluator
