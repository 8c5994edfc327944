"""Conversion of checkpoint files; what is converted is tested elsewhere."""

import copy
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config

from prtr_plugin.apis import convert_checkpoint
from prtr_plugin.checkpoints import CheckpointError, convert_two_stage
from prtr_plugin.checkpoints.two_stage import infer_model


class Unsafe:
    def __reduce__(self):
        return print, ('code',)


@pytest.fixture(scope='module')
def weights(manifests):
    """Those of ResNet-50 by their shapes, stored without memory."""
    shapes = manifests['prtr_res50_384x288_coco']
    return {key: torch.tensor(i / 1024).expand(s) for i, (key, s) in enumerate(shapes.items())}


@pytest.fixture
def source(weights, tmp_path):
    torch.save(dict(state_dict=weights), tmp_path / 'theirs.pth')
    return tmp_path / 'theirs.pth'


def test_both_directions(weights, source, tmp_path):
    there = tmp_path / 'new' / 'ours.pth'
    summary = convert_checkpoint(source, there, 'two_stage')
    assert summary.startswith(f'{source} -> {there}: 511 keys written\n')
    assert re.search(r'head\.transformer\.encoder +72 +7,890,432', summary)
    assert re.search(r'total +511 +41,558,356', summary)
    # nothing but the result is left behind
    assert [p.name for p in there.parent.iterdir()] == ['ours.pth']
    checkpoint = torch.load(there, weights_only=True)
    assert set(checkpoint) == {'meta', 'state_dict'}
    names = checkpoint['meta']['keypoint_names']
    assert len(names) == 17 and names[5] == 'left_shoulder'
    assert all(map(torch.is_tensor, checkpoint['state_dict'].values()))

    back = tmp_path / 'back.pth'
    summary = convert_checkpoint(str(there), str(back), 'two_stage', reverse=True)
    assert re.search(r'head\.transformer\.encoder +72 +7,890,432', summary)
    found = torch.load(back, weights_only=True)
    assert set(found) == set(weights)
    assert all(torch.equal(found[key], value) for key, value in weights.items())


def test_config_of_another_variant(weights, source, tmp_path):
    out = tmp_path / 'ours.pth'
    model = infer_model(convert_two_stage(weights))
    other = copy.deepcopy(model)
    other['head']['num_queries'] = 50
    for name, cfg in (('same', model), ('other', other)):
        Config(dict(model=cfg)).dump(tmp_path / f'{name}.py')
    with pytest.raises(
        CheckpointError, match=r'query_embedding\.weight \(100, 256\) instead of \(50, 256\)'
    ) as error:
        convert_checkpoint(source, out, 'two_stage', config=str(tmp_path / 'other.py'))
    assert str(error.value).startswith(f'Cannot convert "{source}": ')
    assert not out.exists()
    convert_checkpoint(source, out, 'two_stage', config=str(tmp_path / 'same.py'))
    assert out.exists()


def test_training_checkpoint(weights, source, tmp_path):
    """The authors' training stores the AP as a NumPy number."""
    out = tmp_path / 'out.pth'
    torch.save(dict(state_dict=weights, perf=np.float64(0.7)), source)
    convert_checkpoint(source, out, 'two_stage')
    assert torch.load(out, weights_only=True)


def test_code_needs_trust(weights, source, tmp_path, capsys):
    out = tmp_path / 'out.pth'
    torch.save(dict(state_dict=weights, extra=Unsafe()), source)
    with pytest.raises(CheckpointError, match='trust=True'):
        convert_checkpoint(source, out, 'two_stage')
    assert not out.exists() and not capsys.readouterr().out
    convert_checkpoint(source, out, 'two_stage', trust=True)
    assert torch.load(out, weights_only=True)


def test_bad_arguments(source, tmp_path):
    out = tmp_path / 'out.pth'
    with pytest.raises(FileNotFoundError, match='does not exist'):
        convert_checkpoint(tmp_path / 'none.pth', out, 'two_stage')
    with pytest.raises(FileNotFoundError, match='none.py'):
        convert_checkpoint(source, out, 'two_stage', config=str(tmp_path / 'none.py'))
    (tmp_path / 'empty.py').write_text('data_root = "data/"')
    with pytest.raises(ValueError, match='empty.py has no model'):
        convert_checkpoint(source, out, 'two_stage', config=str(tmp_path / 'empty.py'))
    with pytest.raises(ValueError, match='must not replace the input'):
        convert_checkpoint(source, source, 'two_stage')
    with pytest.raises(
        ValueError, match="two_stage, detr, sequential, efficientnet_lite, but got 'prtr'"
    ):
        convert_checkpoint(source, out, 'prtr')
    with pytest.raises(ValueError, match="reverse=True needs .* 'detr'"):
        convert_checkpoint(source, out, 'detr', reverse=True)
    with pytest.raises(TypeError, match='background'):
        convert_checkpoint(source, out, 'two_stage', background='last')
    assert not out.exists()


def test_no_half_written_file(source, tmp_path, monkeypatch):

    def save(_, path):
        with open(path, 'wb') as file:
            file.write(b'half')
        raise OSError('disk full')

    out = tmp_path / 'out' / 'out.pth'
    out.parent.mkdir()
    out.write_bytes(b'old')
    monkeypatch.setattr(torch, 'save', save)
    with pytest.raises(OSError, match='disk full'):
        convert_checkpoint(source, out, 'two_stage')
    assert out.read_bytes() == b'old'
    assert [p.name for p in out.parent.iterdir()] == ['out.pth']
