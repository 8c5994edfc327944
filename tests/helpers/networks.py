"""A small two-stage network of each kind, for tests of what the device is asked to do."""

import copy

import torch
from mmengine.model import BaseModel
from mmpose.registry import MODELS

from helpers.catalog import load

NETWORKS = {
    'prtr': 'td-prtr_res18_1xb32-20e_synthetic-128x96',
    'deformable': 'td-prtr_res18_1xb32-20e_synthetic-128x96',
    'plus': 'td-prtr-plus_res18_1xb16-5e_synthetic-128x96',
}
NUM_JOINTS = 17


def build_network(kind: str) -> BaseModel:
    """Build one of ``NETWORKS`` with initial weights, for crops of 96x128."""
    cfg = copy.deepcopy(load(NETWORKS[kind])).model
    cfg.backbone.init_cfg = None
    cfg.head.transformer.update(num_encoder_layers=1, num_decoder_layers=2)
    if kind == 'deformable':
        cfg.head.transformer.update(type='DeformablePRTRTransformer', num_feature_levels=2)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def inputs(batch_size: int, device: str = 'cpu') -> tuple[torch.Tensor, ...]:
    """Images, and the coordinates and weights of their joints."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, 128, 96, generator=rng)
    labels = torch.rand(batch_size, NUM_JOINTS, 2, generator=rng)
    return images.to(device), labels.to(device), torch.ones(labels.shape[:2], device=device)


def losses(model: BaseModel, data: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """The losses of :func:`inputs`."""
    return model.head.loss_by_targets(model.extract_feat(data[0]), *data[1:])
