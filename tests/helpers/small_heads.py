"""Small keypoint heads and data for them, for several test files."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

FLIP = [0, 2, 1, 3]
CHANNELS = [6, 8, 16]
TRANSFORMER = dict(
    type='PRTRTransformer',
    num_encoder_layers=1,
    num_decoder_layers=3,
    num_heads=4,
    feedforward_channels=64,
    positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=16, normalize=True),
)


def build(num_keypoints=4, seed=0, transformer=dict(), **kwargs):
    """A head over one map of 16 channels."""
    cfg = dict(
        type='PRTRHead',
        in_channels=16,
        out_channels=num_keypoints,
        num_queries=12,
        embed_dims=32,
        transformer={**TRANSFORMER, **transformer},
        decoder=dict(
            type='HungarianKeypointCodec', input_size=(24, 32), num_keypoints=num_keypoints
        ),
    )
    torch.manual_seed(seed)
    return MODELS.build({**cfg, **kwargs})


def build_deformable(num_keypoints=4, seed=0, random=True, transformer=dict(), **kwargs):
    """A deformable head over three maps of ``CHANNELS``."""
    deformable = dict(type='DeformablePRTRTransformer', num_points=2, num_feature_levels=4)
    head = build(
        num_keypoints,
        seed,
        {**deformable, **transformer},
        **{**dict(in_channels=CHANNELS), **kwargs},
    )
    if random:
        # as they come offsets and weights are the same for all queries
        for name, p in head.named_parameters():
            if name.endswith(('sampling_offsets.weight', 'attention_weights.weight')):
                torch.nn.init.normal_(p, std=0.3)
    return head


def samples(batch_size, num_keypoints=4, weight=1.0):
    """Data samples of people with random joints of one weight."""
    rng = np.random.default_rng(0)
    out = []
    for _ in range(batch_size):
        labels = InstanceData(
            keypoint_labels=torch.from_numpy(rng.random((1, num_keypoints, 2), dtype=np.float32)),
            keypoint_weights=torch.full((1, num_keypoints), weight),
        )
        metainfo = dict(flip_indices=FLIP, input_size=(24, 32))
        out.append(PoseDataSample(gt_instance_labels=labels, metainfo=metainfo))
    return out


def feats(batch_size=3, size=(4, 3), channels=(16,)):
    """Maps of which the last has the given size, and each twice the next."""
    g = torch.Generator().manual_seed(2)
    num = len(channels)
    return tuple(
        torch.randn(batch_size, c, *(s << num - 1 - i for s in size), generator=g)
        for i, c in enumerate(channels)
    )


def total(losses):
    """The sum of the losses."""
    return sum(v for k, v in losses.items() if 'loss' in k)
