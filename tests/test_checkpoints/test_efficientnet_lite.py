"""Weights of EfficientNet-Lite0: a synthetic file with the right names."""

import re

import pytest
import torch

from prtr_plugin.apis import load_config
from prtr_plugin.checkpoints import CheckpointError, convert_efficientnet_lite

CONFIG = 'td-prtr-plus_efficientnet-lite0_1xb32-20e_lspe-128x96'
# kernel, stride of the first block, expansion and channels of each stage (Tan and Le, 2019)
STAGES = [(3, 1, 16, 1), (3, 6, 24, 2), (5, 6, 40, 2), (3, 6, 80, 3), (5, 6, 112, 3)]
STAGES += [(5, 6, 192, 4), (3, 6, 320, 1)]


@pytest.fixture
def theirs():
    """All tensors in the order of the layers, each filled with its index."""
    shapes = {}

    def layer(conv, norm, out, *shape):
        shapes[f'{conv}.weight'] = (out, *shape)
        for name in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{norm}.{name}'] = (out,)
        shapes[f'{norm}.num_batches_tracked'] = ()

    layer('_conv_stem', '_bn0', 32, 3, 3, 3)
    width, k = 32, 0
    for kernel, expansion, channels, num in STAGES:
        for _ in range(num):
            block, inner = f'_blocks.{k}.', expansion * width
            if expansion > 1:
                layer(f'{block}_expand_conv', f'{block}_bn0', inner, width, 1, 1)
            layer(f'{block}_depthwise_conv', f'{block}_bn1', inner, 1, kernel, kernel)
            layer(f'{block}_project_conv', f'{block}_bn2', channels, inner, 1, 1)
            width, k = channels, k + 1
    layer('_conv_head', '_bn1', 1280, 320, 1, 1)
    shapes |= {'_fc.weight': (1000, 1280), '_fc.bias': (1000,)}
    return {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}


def test_names(theirs):
    ours = convert_efficientnet_lite(theirs)
    # both lists are in the order of the layers, and the classifier is dropped
    assert len(ours) == len(theirs) - 8
    assert [float(value.flatten()[0]) for value in ours.values()] == list(range(len(ours)))
    for old, new in {
        '_conv_stem.weight': 'conv_stem.weight',
        '_bn0.bias': 'bn1.bias',
        '_blocks.0._depthwise_conv.weight': 'blocks.0.0.conv_dw.weight',
        '_blocks.0._bn2.running_var': 'blocks.0.0.bn2.running_var',
        '_blocks.4._expand_conv.weight': 'blocks.2.1.conv_pw.weight',
        '_blocks.8._bn1.weight': 'blocks.4.0.bn2.weight',
        '_blocks.15._project_conv.weight': 'blocks.6.0.conv_pwl.weight',
    }.items():
        assert torch.equal(ours[f'timm_model.{new}'], theirs[old])


def test_counters_are_not_needed(theirs):
    kept = {key: value for key, value in theirs.items() if 'num_batches' not in key}
    assert convert_efficientnet_lite(kept).keys() == convert_efficientnet_lite(theirs).keys()


def test_strict(theirs):
    value = theirs.pop('_blocks.7._bn1.bias')
    with pytest.raises(CheckpointError, match=r'missing \(1\):\s+_blocks\.7\._bn1\.bias'):
        convert_efficientnet_lite(theirs)
    theirs |= {'_blocks.7._bn1.bias': value, '_blocks.16._bn1.bias': value}
    with pytest.raises(CheckpointError, match=r'unknown \(1\):\s+_blocks\.16\._bn1\.bias'):
        convert_efficientnet_lite(theirs)


def test_fits_the_backbone(theirs):
    for name in ('timm', 'mmpretrain'):
        pytest.importorskip(name, reason='has the backbone')
    model = load_config(CONFIG).model
    ours = convert_efficientnet_lite(theirs, model)
    assert not any(re.search('head|classifier', key) for key in ours)
    theirs['_conv_stem.weight'] = torch.zeros(16, 3, 3, 3)
    with pytest.raises(CheckpointError, match='does not fit the backbone'):
        convert_efficientnet_lite(theirs, model)
