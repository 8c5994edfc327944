"""Tests of the converter of the authors' sequential network.

Its outputs are compared with theirs in test_cascade_golden.py.
"""

import pytest
import torch
from mmpose.registry import MODELS

from prtr_plugin.checkpoints import convert_sequential
from prtr_plugin.checkpoints.sequential import infer_cascade


@pytest.fixture
def theirs(manifests):
    """Keys and shapes of theirs, a number in each, stored without memory."""
    shapes = manifests['prtr_sequential_res50']
    return {
        key: torch.tensor(i / 1024).expand(shape) for i, (key, shape) in enumerate(shapes.items())
    }


def test_every_key_has_a_place(theirs):
    result = convert_sequential(theirs)
    counters = [k for k in result if k.endswith('num_batches_tracked')]
    assert len(result) == len(theirs) + len(counters)
    with torch.device('meta'):
        model = MODELS.build(infer_cascade(result))
    assert set(model.state_dict()) == set(result)
    for ours, key in (
        (
            'detector.decoder.layers.5.cross_attn.attn.in_proj_bias',
            'transformer.decoder.layers.5.multihead_attn.in_proj_bias',
        ),
        (
            'head.transformer.decoder.layers.5.cross_attn.attn.in_proj_bias',
            'transformer_kpt.transformer.decoder.layers.5.multihead_attn.in_proj_bias',
        ),
        ('head.kpt_branches.0.layers.2.bias', 'transformer_kpt.coord_predictor.layers.2.bias'),
        ('detector.bbox_head.fc_reg.bias', 'bbox_embed.layers.2.bias'),
        ('head.transformer.positional_encoding.x_embed', 'row_embed.weight'),
    ):
        assert torch.equal(result[ours], theirs[key]), ours


def test_background(theirs):
    theirs['transformer_kpt.class_predictor.bias'] = torch.arange(18.0)
    bias = convert_sequential(theirs)['head.fc_cls.bias']
    assert bias.tolist() == [*range(1, 18), 0]
    bias = convert_sequential(theirs, background='last')['head.fc_cls.bias']
    assert bias.tolist() == [*range(18)]


def test_strict(theirs):
    theirs['gamma'] = torch.ones(1)
    with pytest.raises(ValueError, match=r'unknown \(1\):\n  gamma'):
        convert_sequential(theirs)
    del theirs['gamma'], theirs['row_embed.weight']
    with pytest.raises(ValueError, match=r'\(1\):\n  head\.transformer\.posi.*x_embed'):
        convert_sequential(theirs)
    with pytest.raises(ValueError, match='not a sequential PRTR'):
        convert_sequential({'class_embed.bias': torch.ones(1)})


@pytest.mark.parametrize(
    'key, name',
    [
        ('transformer_kpt.input_proj.bias', 'head.transformer.input_proj.bias'),
        ('class_embed.bias', 'detector.bbox_head.fc_cls.bias'),
        ('query_embed.weight', 'query_embedding.weight'),
    ],
)
def test_missing_keys(theirs, key, name):
    del theirs[key]
    with pytest.raises(ValueError, match=rf'missing \(1\):\n  {name}'):
        convert_sequential(theirs)


def test_background_is_first_or_last(theirs):
    with pytest.raises(ValueError, match="'first' or 'last', but got 'none'"):
        convert_sequential(theirs, background='none')
