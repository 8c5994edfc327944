"""Tests of the converter of the authors' sequential network.

Its outputs are compared with theirs in test_cascade_golden.py.
"""

import gzip
import json

import pytest
import torch
from mmpose.registry import MODELS

SCRIPT = 'model_converters/sequential_to_prtr_cascade.py'


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool(SCRIPT)


@pytest.fixture
def theirs(data_dir):
    """Keys and shapes of theirs, a number in each, stored without memory."""
    with gzip.open(data_dir / 'manifests.json.gz', 'rt') as file:
        manifests = json.load(file)
    shapes = dict(manifests['prtr_sequential_res50'])
    # the backbone is that of the two-stage model and listed there
    shapes.update(x for x in manifests['prtr_res50_384x288_coco'] if x[0].startswith('backbone'))
    return {
        key: torch.tensor(i / 1024).expand(shape) for i, (key, shape) in enumerate(shapes.items())
    }


def test_every_key_has_a_place(tool, theirs):
    result = tool.convert_state_dict(theirs)
    counters = [k for k in result if k.endswith('num_batches_tracked')]
    assert len(result) == len(theirs) + len(counters)
    with torch.device('meta'):
        model = MODELS.build(tool.infer_model(result))
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


def test_background(tool, theirs):
    theirs['transformer_kpt.class_predictor.bias'] = torch.arange(18.0)
    bias = tool.convert_state_dict(theirs)['head.fc_cls.bias']
    assert bias.tolist() == [*range(1, 18), 0]
    bias = tool.convert_state_dict(theirs, 'last')['head.fc_cls.bias']
    assert bias.tolist() == [*range(18)]


def test_strict(tool, theirs):
    theirs['gamma'] = torch.ones(1)
    with pytest.raises(ValueError, match=r'without a place \(1\):\n  gamma'):
        tool.convert_state_dict(theirs)
    del theirs['gamma'], theirs['row_embed.weight']
    with pytest.raises(ValueError, match=r'\(1\):\n  head\.posi.*x_embed'):
        tool.convert_state_dict(theirs)
    with pytest.raises(ValueError, match='no sequential PRTR'):
        tool.convert_state_dict({'class_embed.bias': torch.ones(1)})


@pytest.mark.parametrize(
    'key, name',
    [
        ('transformer_kpt.input_proj.bias', 'head.transformer.input_proj.bias'),
        ('class_embed.bias', 'detector.bbox_head.fc_cls.bias'),
        ('query_embed.weight', 'query_embedding.weight'),
    ],
)
def test_missing_keys(tool, theirs, key, name):
    del theirs[key]
    with pytest.raises(ValueError, match=rf'missing \(1\):\n  {name}'):
        tool.convert_state_dict(theirs)


def test_command(run_tool, tool, theirs, tmp_path, capsys, monkeypatch):
    """Without the tensors themselves, which take 350 MB."""
    source, out = tmp_path / 'theirs.pth', tmp_path / 'ours.pth'
    torch.save(dict(model=theirs), source)
    saved = {}
    monkeypatch.setattr(torch, 'save', lambda x, path: (saved.update(x), open(path, 'wb').close()))
    done = run_tool(SCRIPT, source, out, '--background', 'last')
    assert done.code == 0, done.error
    assert set(saved['state_dict']) == set(tool.convert_state_dict(theirs))
    assert out.exists() and 'head.fc_cls' in capsys.readouterr().out
    assert 'no file' in run_tool(SCRIPT, tmp_path / 'none.pth', out).code
