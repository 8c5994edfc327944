"""mmpose's heads on the backbone and the input of a PRTR."""

import copy

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmpose.models.heads import HeatmapHead, RLEHead, SimCCHead
from mmpose.registry import MODELS
from torch import Tensor

HEADS = ('heatmap', 'simcc', 'rle')


# mmpose can neither decode bfloat16 outputs nor compute their accuracy
@MODELS.register_module()
class Float32HeatmapHead(HeatmapHead):
    def forward(self, feats: tuple[Tensor]) -> Tensor:
        return super().forward(feats).float()


@MODELS.register_module()
class Float32SimCCHead(SimCCHead):
    def forward(self, feats: tuple[Tensor]) -> tuple[Tensor, ...]:
        return tuple(x.float() for x in super().forward(feats))


@MODELS.register_module()
class Float32RLEHead(RLEHead):
    """Also pools the feature map, whatever the neck."""

    def forward(self, feats: tuple[Tensor]) -> Tensor:
        return super().forward((feats[-1].mean(dim=(-2, -1), keepdim=True),)).float()


def with_head(cfg: Config, name: str) -> Config:
    """The config with one of ``HEADS`` on the same feature map.

    Its settings are those of mmpose's configs for ResNet-50. Heatmaps have a
    quarter of the input size.

    Raises:
        ValueError: If the model is not a top-down one.
    """
    if cfg.model.type != 'TopdownPoseEstimator':
        raise ValueError(f'{cfg.filename} cannot take other heads: it is a {cfg.model.type}.')
    cfg = copy.deepcopy(cfg)
    size = tuple(cfg.model.head.decoder.input_size)
    with torch.device('meta'), torch.no_grad():  # shapes only
        feat = MODELS.build(cfg.model).eval().extract_feat(torch.empty(1, 3, *size[::-1]))[-1]
    feat_size = feat.shape[3], feat.shape[2]
    # as many deconvolutions as it takes from the feature map to the heatmap
    num_deconvs = max(0, round(np.log2(size[0] / 4 / feat_size[0])))
    deconvs = dict(deconv_out_channels=(256,) * num_deconvs, deconv_kernel_sizes=(4,) * num_deconvs)
    num_joints = 'num_joints' if name == 'rle' else 'out_channels'

    codec = dict(input_size=size)
    if name == 'heatmap':
        heatmap_size = tuple(s * 2**num_deconvs for s in feat_size)
        codec.update(type='MSRAHeatmap', heatmap_size=heatmap_size, sigma=2 * size[0] / 192)
        head = dict(type='Float32HeatmapHead', loss=dict(type='KeypointMSELoss'), **deconvs)
    elif name == 'simcc':
        codec.update(type='SimCCLabel', sigma=6 * size[0] / 192, simcc_split_ratio=2.0)
        head = dict(
            type='Float32SimCCHead',
            input_size=size,
            in_featuremap_size=feat_size,
            simcc_split_ratio=2.0,
            deconv_num_groups=(1,) * num_deconvs,
            loss=dict(type='KLDiscretLoss'),
            **deconvs,
        )
    else:
        codec.update(type='RegressionLabel')
        head = dict(type='Float32RLEHead', loss=dict(type='RLELoss'))
    head['loss']['use_target_weight'] = True
    head.update({'in_channels': feat.shape[1], num_joints: cfg.model.head.out_channels})
    cfg.model.head = ConfigDict(head, decoder=codec)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step['type'] == 'GenerateTarget':
            step['encoder'] = codec
    return cfg
