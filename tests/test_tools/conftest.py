"""Exported models, for the tests of several tools.

Fixtures:
    random_model: builds the model of a config with random weights.
    export: exports such a model.
    onnx_model: path of an exported model, of both kinds.
"""
import functools
from pathlib import Path

import pytest
import torch
from mmpose.apis import init_model
from torch import nn

from prtr_plugin.apis import load_config


@pytest.fixture(scope='session')
def random_model():
    """A function that builds the model of a config, the same every time."""

    def build(config: str, options: dict = {}) -> nn.Module:
        torch.manual_seed(0)
        model = init_model(
            load_config(config, options), device='cpu', cfg_options={})
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # as if trained, so that folding them changes numbers
                nn.init.normal_(module.running_mean, std=.1)
                nn.init.uniform_(module.running_var, .5, 2)
        return model

    return build


@pytest.fixture(scope='session')
def export(tmp_path_factory, random_model, run_tool):
    """A function that exports the random model of a config, once for each
    format, and returns the path of the file."""

    @functools.lru_cache(maxsize=None)
    def run(config: str, file_format: str = 'onnx') -> Path:
        folder = tmp_path_factory.mktemp('export')
        checkpoint, out = folder / 'model.pth', folder / 'new' / 'model.pt2'
        torch.save(
            dict(state_dict=random_model(config).state_dict()), checkpoint)
        result = run_tool('deployment/export_onnx.py', config, checkpoint, out,
                          f'--format={file_format}', '--repeats=0',
                          '--batch-sizes=3')
        if result.code:
            raise result.error or RuntimeError(result.code)
        return out

    return run


@pytest.fixture(scope='session')
def onnx_model(export, each_config) -> str:
    """Path of the two-stage model and the cascade, exported."""
    pytest.importorskip('onnxruntime')
    return str(export(each_config))
