"""The doors of the converters. What they convert is tested elsewhere."""

import pytest
import torch

TWO_STAGE = 'model_converters/prtr_to_mmpose.py'
DETR = 'model_converters/detr_to_prtr_cascade.py'
SEQUENTIAL = 'model_converters/sequential_to_prtr_cascade.py'


@pytest.fixture
def source(manifests, tmp_path):
    """A function that writes weights of some shapes, without memory."""

    def write(name, drop=(), **shapes):
        shapes = {**manifests[name], **shapes}
        weights = {
            key: torch.tensor(i / 1024).expand(shape)
            for i, (key, shape) in enumerate(shapes.items())
            if not key.startswith(drop)
        }
        torch.save(dict(model=weights), tmp_path / 'theirs.pth')
        return tmp_path / 'theirs.pth'

    return write


def read(path):
    return torch.load(path, weights_only=True)


def test_two_stage(run_tool, source, tmp_path, capsys):
    theirs, ours, back = source('prtr_res50_384x288_coco'), tmp_path / 'ours.pth', tmp_path / 'back'
    assert run_tool(TWO_STAGE, theirs, ours).code == 0
    assert '511 keys written' in capsys.readouterr().out
    assert run_tool(TWO_STAGE, '--reverse', ours, back).code == 0
    assert 'head.transformer.encoder' in capsys.readouterr().out
    assert set(read(back)) == set(read(theirs)['model'])


def test_detr(run_tool, source, tmp_path, cascade_config, capsys):
    out = tmp_path / 'new' / 'detector.pth'
    shapes = {'class_embed.weight': (5, 256), 'class_embed.bias': (5,)}
    theirs = source('prtr_sequential_res50', ('transformer_kpt', 'row_', 'col_'), **shapes)
    options = ['--person-row', 2, '--source', 'facebook']
    assert run_tool(DETR, theirs, out, *options).code == 0
    printed = capsys.readouterr().out
    for text in ('rows 2', '3 dropped', 'detector', 'bgr_to_rgb=True', 'head.*'):
        assert text in printed
    weights = read(out)['state_dict']
    assert weights['detector.bbox_head.fc_cls.weight'].shape == (2, 256)

    out.unlink()
    for more, message in (
        (['--config', cascade_config], 'does not fit the detector'),
        (['--source', 'mmdet'], 'the key of facebook'),
        (['--person-row', 4], 'classes 0 to 3'),
    ):
        done = run_tool(DETR, theirs, out, *options, *more)
        assert done.code.startswith('Error: ') and message in done.code
    assert not out.exists()


def test_sequential(run_tool, source, tmp_path, capsys):
    theirs, out = source('prtr_sequential_res50'), tmp_path / 'ours.pth'
    bias = read(theirs)['model']['transformer_kpt.class_predictor.bias']
    assert run_tool(SEQUENTIAL, theirs, out, '--background', 'last').code == 0
    assert 'head.fc_cls' in capsys.readouterr().out
    assert torch.equal(read(out)['state_dict']['head.fc_cls.bias'], bias)


@pytest.mark.parametrize('tool', [TWO_STAGE, DETR, SEQUENTIAL])
def test_errors(run_tool, tool, tmp_path, capsys):
    """Are one sentence each, and nothing is written."""
    damaged, out = tmp_path / 'damaged.pth', tmp_path / 'out.pth'
    damaged.write_bytes(b'PK\x03\x04 cut')
    for args, message in (
        ((tmp_path / 'none.pth', out), 'none.pth does not exist'),
        ((damaged, out), 'damaged.pth" cannot be read'),
        ((damaged, damaged), 'must not replace the input'),
    ):
        done = run_tool(tool, *args)
        assert done.error is None
        assert done.code.startswith('Error: ') and message in done.code
    torch.save(dict(epoch=torch.Generator), damaged)
    done = run_tool(tool, damaged, out)
    assert done.code.startswith('Error: ') and '--trust' in done.code
    done = run_tool(tool, '--trust', damaged, out)
    assert 'no state dict' in done.code
    assert not out.exists()
    assert run_tool(tool, '--help').code == 0
    assert 'IN' in capsys.readouterr().out
