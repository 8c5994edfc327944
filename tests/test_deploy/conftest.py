"""What the tests of deployment share.

Fixtures:
    deploy_configs: small configs of all kinds of models.
    random_model: builds the model of a config with random weights.
    exported: exports such a model.
    onnx_model: path of an exported model, of both kinds.
"""

import functools

import pytest
import torch
from mmpose.apis import init_model
from torch import nn

from prtr_plugin.apis import export, load_config

SMALL = """
_base_ = '{small_config}'
model = dict(
    head=dict(transformer=dict(num_encoder_layers=1, num_decoder_layers=1)))
"""
CASCADE = """
_base_ = '{cascade_config}'
model = dict(
    detector=dict(encoder=dict(num_layers=1), decoder=dict(num_layers=1)),
    head=dict(transformer=dict(num_encoder_layers=1, num_decoder_layers=1)))
"""
DEFORMABLE = """
_base_ = '{small_config}'
model = dict(
    backbone=dict(out_indices=(1, 2)),
    head=dict(
        in_channels=[64, 128],
        embed_dims=64,
        transformer=dict(
            type='DeformablePRTRTransformer',
            num_feature_levels=3,
            num_encoder_layers=1,
            num_decoder_layers=2,
            feedforward_channels=64,
            positional_encoding=dict(num_feats=32))))
"""
PIXEL = """
_base_ = '{small_config}'
model = dict(
    backbone=dict(out_indices=(0, 1, 2)),
    head=dict(
        in_channels=[32, 64, 128],
        embed_dims=64,
        transformer=dict(
            type='PixelPRTRTransformer',
            num_encoder_layers=1,
            num_decoder_layers=1,
            feedforward_channels=64,
            positional_encoding=dict(num_feats=32)),
        decoder=dict(include_background=True)))
"""


@pytest.fixture(scope='session')
def deploy_configs(tmp_path_factory, small_config, cascade_config) -> dict:
    """Paths of small configs: ``two_stage``, ``cascade``, ``deformable``, ``pixel``."""
    folder = tmp_path_factory.mktemp('configs')
    texts = dict(two_stage=SMALL, cascade=CASCADE, deformable=DEFORMABLE, pixel=PIXEL)
    for name, text in texts.items():
        (folder / f'{name}.py').write_text(
            text.format(small_config=small_config, cascade_config=cascade_config)
        )
    return {name: str(folder / f'{name}.py') for name in texts}


@pytest.fixture(scope='session')
def random_model():
    """A function that builds the model of a config, the same every time."""

    def build(config: str, options: dict = {}) -> nn.Module:
        torch.manual_seed(0)
        model = init_model(load_config(config, options), device='cpu', cfg_options={})
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # as if trained, so that folding them changes numbers
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)
        return model

    return build


@pytest.fixture(scope='session')
def exported(tmp_path_factory, deploy_configs, random_model):
    """A function that exports the random model of one of
    ``deploy_configs``, once for each ending, and returns the file."""

    @functools.cache
    def run(name: str, ending: str = '.onnx') -> str:
        out = tmp_path_factory.mktemp('export') / 'new' / f'm{ending}'
        export(random_model(deploy_configs[name]), out, batch_sizes=[3], repeats=0)
        return str(out)

    return run


@pytest.fixture(scope='session', params=['two_stage', 'cascade'])
def onnx_model(exported, request) -> str:
    """Path of the two-stage model and the cascade, exported."""
    pytest.importorskip('onnxruntime')
    return exported(request.param)
