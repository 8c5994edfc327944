"""What the tests of several tools share.

Fixtures:
    deploy_configs: small configs of all kinds of models.
    random_model: builds the model of a config with random weights.
    export: exports such a model.
    onnx_model: path of an exported model, of both kinds.
"""

import functools

import pytest
import torch
from mmpose.apis import init_model
from torch import nn

from prtr_plugin.apis import load_config

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


@pytest.fixture(scope='session')
def deploy_configs(tmp_path_factory, small_config, cascade_config) -> dict:
    """Paths of small configs: ``two_stage``, ``cascade``, ``deformable``."""
    folder = tmp_path_factory.mktemp('configs')
    texts = dict(two_stage=SMALL, cascade=CASCADE, deformable=DEFORMABLE)
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
def export(tmp_path_factory, deploy_configs, random_model, run_tool):
    """A function that exports the random model of one of
    ``deploy_configs``, once for each format, and returns the file."""

    @functools.cache
    def run(name: str, file_format: str = 'onnx') -> str:
        config = deploy_configs[name]
        folder = tmp_path_factory.mktemp('export')
        ending = dict(torchscript='pt', torch_export='pt2')
        checkpoint = folder / 'model.pth'
        out = folder / 'new' / f'm.{ending.get(file_format, file_format)}'
        torch.save(dict(state_dict=random_model(config).state_dict()), checkpoint)
        result = run_tool(
            'deployment/export_onnx.py',
            config,
            checkpoint,
            out,
            f'--format={file_format}',
            '--repeats=0',
            '--batch-sizes=3',
        )
        if result.code:
            raise result.error or RuntimeError(result.code)
        return str(out)

    return run


@pytest.fixture(scope='session', params=['two_stage', 'cascade'])
def onnx_model(export, request) -> str:
    """Path of the two-stage model and the cascade, exported."""
    pytest.importorskip('onnxruntime')
    return export(request.param)
