"""A small PRTRCascade and data for it, for several test files."""

import copy

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

K, Q, SIZE = 4, 9, (64, 96)
ATTENTION = dict(embed_dims=16, num_heads=2)
FFN = dict(embed_dims=16, feedforward_channels=32)
CONFIG = dict(
    type='PRTRCascade',
    data_preprocessor=dict(type='mmpose.PoseDataPreprocessor'),
    detector=dict(
        type='PersonDETR',
        num_queries=Q,
        backbone=dict(
            type='mmpose.ResNet',
            depth=18,
            base_channels=8,
            stem_channels=8,
            out_indices=(0, 1, 2, 3),
        ),
        neck=dict(
            type='mmdet.ChannelMapper',
            in_channels=[64],
            kernel_size=1,
            out_channels=16,
            act_cfg=None,
            norm_cfg=None,
        ),
        encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN),
        ),
        positional_encoding=dict(num_feats=8, normalize=True),
        bbox_head=dict(type='mmpose.PersonDETRHead', embed_dims=16),
    ),
    crop=dict(resolution=(4, 5)),
    head=dict(
        type='PRTRHead',
        in_channels=8 + 16 + 32 + 64,
        out_channels=K,
        num_queries=6,
        embed_dims=16,
        transformer=dict(
            type='PRTRTransformer',
            num_encoder_layers=1,
            num_decoder_layers=2,
            num_heads=2,
            feedforward_channels=32,
            positional_encoding=dict(
                type='SineLearnedPositionalEncoding', num_feats=4, size=(4, 5)
            ),
        ),
        decoder=dict(type='HungarianKeypointCodec', input_size=(1, 1), num_keypoints=K),
    ),
)


def build(seed=0, **kwargs):
    cfg = copy.deepcopy(CONFIG)
    for key, value in kwargs.items():
        target = cfg
        *path, last = key.split('__')
        for name in path:
            target = target.setdefault(name, {})
        target[last] = value
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    # the first guesses of an untrained DETR hardly differ
    torch.nn.init.normal_(model.detector.bbox_head.fc_reg.weight, std=0.5)
    torch.nn.init.normal_(model.detector.query_embedding.weight, std=3)
    return model


def people(num, visible=2, **fields):
    """Ground truth of people of half the size of a 64x96 image."""
    rng = np.random.default_rng(num)
    corner = rng.random((num, 2)) * [46, 30]
    labels = InstanceData(
        bboxes=np.concatenate((corner, corner + [48, 32]), axis=1),
        keypoints=corner[:, None] + rng.random((num, K, 2)) * [48, 32],
        keypoints_visible=np.full((num, K), visible, dtype=np.float32),
    )
    for name, value in fields.items():
        labels.set_field(np.array(value), name)
    return labels.to_tensor()


def batch(*labels, shapes=None):
    """Images and data samples, as the data preprocessor puts them out."""
    g = torch.Generator().manual_seed(3)
    shapes = shapes or [SIZE] * len(labels)
    images, samples = torch.zeros(len(labels), 3, *SIZE), []
    for i, ((h, w), label) in enumerate(zip(shapes, labels)):
        images[i, :, :h, :w] = torch.randn(3, h, w, generator=g)
        samples.append(
            PoseDataSample(
                gt_instance_labels=label,
                gt_instances=InstanceData(),
                metainfo=dict(img_shape=(h, w), ori_shape=(2 * h, 2 * w), img_id=i, id=[i]),
            )
        )
    return images, samples


def loss(model, *labels, **kwargs):
    torch.manual_seed(0)
    return model.loss(*batch(*labels, **kwargs))


def predict(model, *shapes):
    with torch.no_grad():
        return [
            s.pred_instances
            for s in model.eval().predict(*batch(*[InstanceData()] * len(shapes), shapes=shapes))
        ]


def total(losses):
    return sum(v for k, v in losses.items() if 'loss' in k)


def gradients(model, losses):
    model.zero_grad()
    total(losses).backward()
    return {n: p.grad for n, p in model.named_parameters()}


LOSSES = {
    f'{prefix}{level}{name}'
    for prefix, names in (
        ('det.', ('loss_cls', 'loss_bbox', 'loss_iou')),
        ('', ('loss_cls', 'loss_kpt')),
    )
    for level in ('d0.', '')
    for name in names
} | {'acc_pose'}
