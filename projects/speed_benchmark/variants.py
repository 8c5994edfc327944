"""Models and inputs that ``benchmark.py`` measures."""

import copy
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.utils import digit_version
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import MODELS
from other_heads import with_head
from plain_prtr import plain_config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prtr_plugin.apis import switch_to_deploy
from prtr_plugin.models.heads import PRTRHead

# the modes that the others are compared with
BASELINES = ('plain', 'all queries')


@dataclass(frozen=True, eq=False)
class Variant:
    """A model to measure: its name, mode (see ``benchmark.py``) and config."""

    name: str
    mode: str
    cfg: Config

    @property
    def top_down(self) -> bool:
        """Whether the model takes crops of one person."""
        return self.cfg.model.type == 'TopdownPoseEstimator'

    @property
    def has_prtr_head(self) -> bool:
        """Whether the head is a :class:`PRTRHead`."""
        return issubclass(MODELS.get(self.cfg.model.head.type), PRTRHead)

    def build(self, training: bool) -> nn.Module:
        """The model to train or to test, in all modes with the same weights."""
        model = MODELS.build(self.cfg.model)
        randomize(model)
        model.cfg, model.dataset_meta = self.cfg, self.dataset_meta()
        if not training:
            if self.top_down:
                model.test_cfg = dict(model.test_cfg or {}, flip_test=False)
            return switch_to_deploy(model) if self.mode == 'fast' else model.eval()
        folded = self.cfg.get('efficient_conv_bn_eval', [])
        if self.mode == 'fast':
            folded = ['backbone' if self.top_down else 'detector.backbone']
            model.get_submodule(folded[0]).to(memory_format=torch.channels_last)
        if folded and self.mode != 'plain':
            turn_on_efficient_conv_bn_eval(model, folded)
        return model.train()

    def build_optim_wrapper(self, model: nn.Module, dtype: str) -> OptimWrapper:
        """Optimizer and gradient clipping of the config."""
        keys = ('constructor', 'optimizer', 'paramwise_cfg', 'clip_grad')
        cfg = {k: v for k, v in copy.deepcopy(self.cfg.optim_wrapper).items() if k in keys}
        cfg = ConfigDict(cfg)
        if self.mode == 'plain':
            # mmengine's groups of one parameter each
            cfg.constructor = 'DefaultOptimWrapperConstructor'
        cfg.type = 'BFloat16OptimWrapper' if dtype == 'bfloat16' else 'OptimWrapper'
        if self.mode == 'fast' and cfg.optimizer.type in ('Adam', 'AdamW'):
            on_cpu = next(model.parameters()).device.type == 'cpu'
            cfg.optimizer.fused = not on_cpu or digit_version(torch.__version__) >= (2, 4)
        return build_optim_wrapper(model, cfg)

    def dataset_meta(self) -> dict:
        """Metainfo of the dataset."""
        with warnings.catch_warnings():
            # mmpose warns that it looks for the metainfo file in another folder
            warnings.simplefilter('ignore')
            return dataset_meta_from_config(self.cfg)

    def images(self, num: int) -> list[dict]:
        """Random images, 640x480, with people at random locations, in the form
        in which a dataset passes them to the pipeline.
        """
        meta, num_people = self.dataset_meta(), 1 if self.top_down else 4
        num_joints, ones = meta['num_keypoints'], np.ones(num_people, np.float32)
        images = []
        for i in range(num):
            rng = np.random.default_rng(i)
            size = rng.uniform((100, 200), (300, 400), (num_people, 2))
            corner = rng.uniform(0, 1, (num_people, 2)) * ((640, 480) - size)
            joints = rng.uniform(0, 1, (num_people, num_joints, 2))
            image = dict(
                img=rng.integers(0, 256, (480, 640, 3), dtype=np.uint8),
                img_id=i,
                id=list(range(num_people)),
                category_id=1,
                bbox=np.concatenate((corner, corner + size), 1, dtype=np.float32),
                bbox_score=ones,
                keypoints=(corner[:, None] + joints * size[:, None]).astype(np.float32),
                keypoints_visible=np.ones((num_people, num_joints), np.float32),
                num_keypoints=num_joints * ones,
                area=size.prod(axis=1),
                iscrowd=0 * ones,
            )
            images.append({**meta, **image})
        return images


def randomize(model: nn.Module) -> None:
    """Set random weights with which activations neither grow nor vanish and
    batch norms have an effect. A tensor depends only on its name and shape, so
    that models with the same names get the same weights.
    """
    for name, module in model.named_modules():
        rng = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        for key, param in module.named_parameters(recurse=False):
            if param.dim() > 1:
                std = 1.0 if isinstance(module, nn.Embedding) else param[0].numel() ** -0.5
                param.data.normal_(std=std, generator=rng)
            elif key.endswith('bias'):
                param.data.normal_(std=0.1, generator=rng)
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(std=0.1, generator=rng)
            module.running_var.uniform_(0.5, 1.5, generator=rng)


def make_variants(
    cfg: Config, heads: list[str], fast: bool, plain: bool, num_persons: list[int] | None
) -> list[Variant]:
    """All variants of a config to measure: with its own head and others, or
    of a cascade by the number of people that it keeps.

    Raises:
        ValueError: If the config does not fit the arguments.
    """
    name = Path(cfg.filename).stem
    if num_persons is not None:
        return cascade_variants(name, cfg, num_persons)
    modes = ['config', 'fast'] if fast else ['config']
    variants = [Variant(name, mode, cfg) for mode in modes]
    if plain:
        variants.append(Variant(name, 'plain', plain_config(cfg)))
    for head in heads:
        other = with_head(cfg, head)
        variants += [Variant(f'{name} ({head})', mode, other) for mode in modes]
    return variants


def cascade_variants(name: str, cfg: Config, num_persons: list[int]) -> list[Variant]:
    """A cascade that keeps some of the people, see :func:`make_variants`."""
    if cfg.model.type != 'PRTRCascade':
        raise ValueError(f'{cfg.filename} has no PRTRCascade, but a {cfg.model.type}.')
    total = cfg.model.detector.num_queries
    if max(num_persons) > total:
        raise ValueError(
            f'--cascade {max(num_persons)} is more than the {total} queries of {cfg.filename}.'
        )
    variants = []
    for num in sorted({*num_persons, total}):
        cfg = copy.deepcopy(cfg)
        cfg.model.test_cfg = dict(max_persons=num)
        variants.append(Variant(name, 'all queries' if num == total else f'{num} people', cfg))
    return variants
