"""Configs of real size, made small: fewer layers, small crops, no downloads."""

import copy

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs

from helpers.catalog import load, need_backbone, set_input_size

SIZE = (96, 128)


def small_cfg(name: str) -> Config:
    """The model with fewer layers and small crops, and without downloads."""
    cfg = copy.deepcopy(load(name))
    model = cfg.model
    model.backbone.init_cfg = None
    model.head.num_queries = model.head.out_channels + 3
    model.head.transformer.update(
        num_encoder_layers=1, num_decoder_layers=1, feedforward_channels=256
    )
    set_input_size(cfg._cfg_dict, SIZE)
    if 'swin' in name:
        model.backbone.depths = (1, 1, 1, 1)
    elif 'vit' in name:
        model.backbone.arch.num_layers = 2
        model.backbone.img_size = SIZE[::-1]
    elif 'cspnext' in name:
        model.backbone.deepen_factor = 0.33
    elif 'hrnet' in name:
        for stage in model.backbone.extra.values():
            stage.update(num_modules=1, num_blocks=(1,) * stage.num_branches)
    elif '_res50_' in name:
        # blocks without the fourfold output
        model.backbone.depth = 18
        model.head.in_channels = [c // 4 for c in model.head.in_channels]
    return cfg


def check_step_and_prediction(name: str) -> None:
    """Train the small model for a step, and predict."""
    need_backbone(name)
    cfg = small_cfg(name)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    num_joints = cfg.codec.num_keypoints
    batch = get_packed_inputs(
        2, num_keypoints=num_joints, img_shape=SIZE[::-1], input_size=SIZE, with_reg_label=True
    )
    before = [p.detach().clone() for p in model.backbone.parameters()]
    model.train()
    losses = model.train_step(batch, wrapper)
    assert losses['loss'].isfinite() and losses['loss_kpt'] > 0
    assert ('d0.loss_map' in losses) == ('loss_map' in cfg.model.head)
    assert any(not torch.equal(p, old) for p, old in zip(model.backbone.parameters(), before))
    model.eval()
    with torch.no_grad():
        results = model.test_step(batch)
    shapes = [sample.pred_instances.keypoints.shape for sample in results]
    assert shapes == [(1, num_joints, 2)] * 2


def strides(name: str) -> list[int]:
    """Those of the maps of the small backbone."""
    need_backbone(name)
    backbone = MODELS.build(small_cfg(name).model.backbone)
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, *SIZE[::-1]))
    return [SIZE[1] // x.shape[-2] for x in maps]
