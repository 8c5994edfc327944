"""Models and inputs that ``benchmark.py`` measures."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from benchmark_plain import make_plain
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmengine.utils import digit_version
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.models.necks import GlobalAveragePooling
from mmpose.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prtr_plugin.apis import switch_to_deploy
from prtr_plugin.deploy import use_channels_last
from prtr_plugin.models.heads import PRTRHead

# how a model is run, see benchmark.py
MODES = ('config', 'fast', 'compiled', 'plain')
FAST_MODES = ('fast', 'compiled')
# mmpose's heads that a PRTR can be compared with
HEADS = ('heatmap', 'simcc', 'rle')


@dataclass(frozen=True, eq=False)
class Variant:
    """A model that is measured.

    Args:
        name (str): Name of the config, and of the head if that is another one
        mode (str): One of ``MODES``
        cfg (Config): The config
        flip_test (bool): Whether the flip test of the config is on
        checkpoint (str, optional): File with weights. Defaults to None, for
            random ones
    """

    name: str
    mode: str
    cfg: Config
    flip_test: bool = False
    checkpoint: str | None = None

    @property
    def label(self) -> str:
        """Unique name."""
        return f'{self.name} [{self.mode}]'

    @property
    def top_down(self) -> bool:
        """Whether the model takes crops of one person."""
        return self.cfg.model.type == 'TopdownPoseEstimator'

    @property
    def has_prtr_head(self) -> bool:
        """Whether the head is a :class:`PRTRHead`, so that there is a plain
        version."""
        return issubclass(MODELS.get(self.cfg.model.head.type), PRTRHead)

    @property
    def top_down_prtr(self) -> bool:
        """Whether it is a :class:`PRTRHead` on crops of one person."""
        return self.has_prtr_head and self.top_down

    def build(self, training: bool) -> nn.Module:
        """The model, with the same weights for all modes.

        Args:
            training (bool): Whether it will be trained, or tested
        """
        torch.manual_seed(0)
        model_cfg = copy.deepcopy(self.cfg.model)
        _drop_init_cfg(model_cfg)
        with DefaultScope.overwrite_default_scope('mmpose'):
            model = MODELS.build(model_cfg)
        pool = self.cfg.get('pool_after_neck', False)
        if pool:
            model.neck = nn.Sequential(model.neck, GlobalAveragePooling())
        randomize(model)
        if self.checkpoint:
            load_checkpoint(model, self.checkpoint, 'cpu', strict=True)
        if not self.flip_test and isinstance(model.test_cfg, dict):
            model.test_cfg = dict(model.test_cfg, flip_test=False)

        if not self.has_prtr_head:
            _put_out_float32(model.head)
        if self.mode == 'plain':
            model = make_plain(model)
        if not training:
            model = switch_to_deploy(model) if self.mode in FAST_MODES else model.eval()
            if self.mode == 'compiled':
                compile_network(model)
            return model
        folded = self.cfg.get('efficient_conv_bn_eval', [])
        if self.mode in FAST_MODES:
            folded = ['backbone' if hasattr(model, 'backbone') else
                      'detector.backbone']  # yapf: disable
            use_channels_last(model)
        if folded and self.mode != 'plain':
            turn_on_efficient_conv_bn_eval(model, folded)
        if self.mode == 'compiled':
            compile_network(model)
        return model.train()

    def build_optim_wrapper(self, model: nn.Module) -> OptimWrapper:
        """Optimizer and gradient clipping of the config, in full precision."""
        keys = ('optimizer', 'paramwise_cfg', 'clip_grad', 'constructor')
        cfg = ConfigDict(
            type='OptimWrapper',
            **{k: v for k, v in copy.deepcopy(self.cfg.optim_wrapper).items() if k in keys},
        )
        if self.mode in FAST_MODES and cfg.optimizer.type in ('Adam', 'AdamW'):
            fused = next(model.parameters()).is_cuda or digit_version(
                torch.__version__
            ) >= digit_version('2.4')
            cfg.optimizer.fused = fused
        with DefaultScope.overwrite_default_scope('mmpose'):
            return build_optim_wrapper(model, cfg)

    def pipeline(self, training: bool) -> Compose:
        """The pipeline of the config."""
        loader = 'train_dataloader' if training else 'test_dataloader'
        with DefaultScope.overwrite_default_scope('mmpose'):
            return Compose(self.cfg[loader].dataset.pipeline)

    def people(self, num: int) -> list[Callable[[], dict]]:
        """That many synthetic images with annotated people, as what a
        dataset would give to the pipeline. Each call makes a new one of the
        same content, except for the image, which is no copy."""
        with warnings.catch_warnings():
            # that mmpose looks for its file in another folder
            warnings.simplefilter('ignore')
            meta = dataset_meta_from_config(self.cfg)
        if meta is None:
            raise ValueError(
                f'{self.name}: the config has no dataset, whose joints the benchmark needs to know.'
            )
        return [SyntheticPeople(meta, seed, 1 if self.top_down else 4) for seed in range(num)]


class SyntheticPeople:
    """An image of blocks and noise, 640x480, with people somewhere.

    Args:
        meta (dict): Metainfo of the dataset
        seed (int): Of the random numbers
        num_people (int): Number of people
    """

    meta_keys = (
        'dataset_name',
        'upper_body_ids',
        'lower_body_ids',
        'flip_pairs',
        'dataset_keypoint_weights',
        'flip_indices',
        'skeleton_links',
    )

    def __init__(self, meta: dict, seed: int, num_people: int) -> None:
        rng = np.random.RandomState(seed)
        image = rng.randint(0, 256, (15, 20, 3)).repeat(32, 0).repeat(32, 1)
        noise = rng.randint(-20, 20, image.shape)
        self.image = (image + noise).clip(0, 255).astype(np.uint8)
        size = rng.uniform((100, 200), (300, 400), (num_people, 2))
        corner = rng.uniform(0, 1, (num_people, 2)) * ((640, 480) - size)
        num_joints = meta['num_keypoints']
        joints = rng.uniform(0, 1, (num_people, num_joints, 2))
        ones = np.ones(num_people, dtype=np.float32)
        self.annotation = dict(
            id=list(range(num_people)),
            img_id=seed,
            category_id=1,
            bbox=np.concatenate((corner, corner + size), 1, dtype=np.float32),
            bbox_score=ones,
            keypoints=(corner[:, None] + joints * size[:, None]).astype(np.float32),
            keypoints_visible=np.ones((num_people, num_joints), np.float32),
            num_keypoints=num_joints * ones,
            area=size.prod(axis=1),
            iscrowd=0 * ones,
            **{key: meta[key] for key in self.meta_keys if key in meta},
        )

    def __call__(self) -> dict:
        """Data for a pipeline."""
        return dict(copy.deepcopy(self.annotation), img=self.image)


def randomize(model: nn.Module) -> None:
    """Random weights with which activations neither grow nor vanish and the
    batch norms do something.

    The initialisation of training has neither property: the residual branches
    of an untrained ResNet may even be zero.
    """
    embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    with torch.no_grad():
        for param in model.parameters():
            if param.dim() > 1 and not any(param is e for e in embeddings):
                param.normal_(std=param[0].numel() ** -0.5)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)


def compile_network(model: nn.Module) -> None:
    """``torch.compile`` for the network, in place.

    What compares and assigns stays as it is: it works on the host.
    """
    network = 'forward_levels' if isinstance(model.head, PRTRHead) else 'forward'
    for owner, name in ((model, 'extract_feat'), (model.head, network)):
        setattr(owner, name, torch.compile(getattr(owner, name)))


def make_variants(
    configs: dict[str, Config],
    heads: list[str],
    modes: list[str],
    flip_test: bool = False,
    checkpoint: str | None = None,
) -> list[Variant]:
    """All variants to measure, those of a config side by side.

    Args:
        configs (dict): Configs by name
        heads (List[str]): Further heads to put in the place of the config's,
            of ``HEADS``
        modes (List[str]): Of ``MODES``. Other heads have no plain version
        flip_test (bool): See :class:`Variant`. Defaults to ``False``
        checkpoint (str, optional): Weights of the configs' own heads, see
            :class:`Variant`. Defaults to None

    Raises:
        ValueError: If a model without a :class:`PRTRHead` should be plain, or
            get other heads although it is not top-down.
    """
    variants = []
    for name, cfg in configs.items():
        mine = [Variant(name, mode, cfg, flip_test, checkpoint) for mode in modes]
        if 'plain' in modes and not mine[0].has_prtr_head:
            raise ValueError(
                f'{name} has no plain version: its head is {cfg.model.head.type}, not PRTRHead.'
            )
        if heads and not mine[0].top_down:
            raise ValueError(
                f'{name} cannot get other heads: its model is '
                f'{cfg.model.type}, not TopdownPoseEstimator.'
            )
        variants += mine
        for head in heads:
            other = with_head(cfg, head)
            variants += [
                Variant(f'{name} ({head})', mode, other, flip_test)
                for mode in modes
                if mode != 'plain'
            ]
    return variants


def input_size(cfg: Config) -> tuple:
    """Width and height of the network input of a top-down config."""
    return tuple(cfg.model.head.decoder.input_size)


def with_head(cfg: Config, head: str) -> Config:
    """The config with a head of mmpose on the same feature map.

    Its settings are those of mmpose's configs for ResNet-50. Heatmaps are of
    a quarter of the input size.

    Args:
        cfg (Config): A top-down config
        head (str): One of ``HEADS``
    """
    cfg = copy.deepcopy(cfg)
    old = cfg.model.head
    size = input_size(cfg)
    in_channels, feat_size = _feature_map(cfg)
    # as many deconvolutions as it takes from the feature map to the heatmap
    num_deconvs = max(0, round(np.log2(size[0] / 4 / feat_size[0])))
    deconvs = dict(deconv_out_channels=(256,) * num_deconvs, deconv_kernel_sizes=(4,) * num_deconvs)
    common = dict(in_channels=in_channels, out_channels=old.out_channels)

    if head == 'heatmap':
        codec = dict(
            type='MSRAHeatmap',
            input_size=size,
            heatmap_size=tuple(s * 2**num_deconvs for s in feat_size),
            sigma=2 * size[0] / 192,
        )
        new = dict(
            type='HeatmapHead',
            loss=dict(type='KeypointMSELoss', use_target_weight=True),
            **common,
            **deconvs,
        )
        test_cfg = dict(flip_mode='heatmap', shift_heatmap=True)
    elif head == 'simcc':
        codec = dict(
            type='SimCCLabel', input_size=size, sigma=6.0 * size[0] / 192, simcc_split_ratio=2.0
        )
        new = dict(
            type='SimCCHead',
            input_size=size,
            in_featuremap_size=feat_size,
            simcc_split_ratio=2.0,
            deconv_num_groups=(1,) * num_deconvs,
            loss=dict(type='KLDiscretLoss', use_target_weight=True),
            **common,
            **deconvs,
        )
        test_cfg = dict()
    else:
        codec = dict(type='RegressionLabel', input_size=size)
        new = dict(
            type='RLEHead',
            in_channels=in_channels,
            num_joints=old.out_channels,
            loss=dict(type='RLELoss', use_target_weight=True),
        )
        test_cfg = dict(shift_coords=True)
        if cfg.model.get('neck'):
            cfg.pool_after_neck = True
        else:
            cfg.model.neck = dict(type='GlobalAveragePooling')

    cfg.model.head = ConfigDict(new, decoder=codec)
    cfg.model.test_cfg = dict(test_cfg, flip_test=cfg.model.get('test_cfg', {}).get('flip_test'))
    for step in cfg.train_dataloader.dataset.pipeline:
        if step['type'] == 'GenerateTarget':
            step['encoder'] = codec
    return cfg


def _feature_map(cfg: Config) -> tuple:
    """Channels and size (w, h) of the map that the head looks at."""
    model_cfg = copy.deepcopy(cfg.model)
    _drop_init_cfg(model_cfg)
    width, height = input_size(cfg)
    # shapes only
    with DefaultScope.overwrite_default_scope('mmpose'), torch.device('meta'), torch.no_grad():
        model = MODELS.build(model_cfg).eval()
        feat = model.extract_feat(torch.empty(1, 3, height, width))[-1]
    return feat.shape[1], tuple(feat.shape[:1:-1])


def _put_out_float32(head: nn.Module) -> None:
    """mmpose reads neither bfloat16 outputs out nor tells their accuracy."""
    forward = head.forward

    def convert(outputs):
        if isinstance(outputs, (tuple, list)):
            return type(outputs)(map(convert, outputs))
        return outputs.float()

    head.forward = lambda *args, **kwargs: convert(forward(*args, **kwargs))


def _drop_init_cfg(cfg: dict | None) -> None:
    """Nothing is to be downloaded or initialised by the config."""
    if isinstance(cfg, dict):
        cfg.pop('init_cfg', None)
        for value in cfg.values():
            _drop_init_cfg(value)
