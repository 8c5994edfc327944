import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpose.structures import PoseDataSample


@pytest.fixture
def formats(load_tool):
    return load_tool('deployment/export_formats.py')


@pytest.fixture
def utils(load_tool):
    return load_tool('deployment/export_utils.py')


def skip_missing(file_format):
    if file_format == 'onnx':
        pytest.importorskip('onnxruntime')
    elif file_format == 'torch_export' and not hasattr(torch.export, 'Dim'):
        pytest.skip('torch < 2.2')


def outputs_of(model, images):
    """As mmpose runs a model: uint8 images through its preprocessor."""
    samples = [PoseDataSample(metainfo=dict(img_shape=image.shape[1:])) for image in images]
    with torch.no_grad():
        data = model.data_preprocessor(dict(inputs=list(images), data_samples=samples))
        return model(**data, mode='tensor')


# the others take long or differ little
@pytest.mark.parametrize(
    'file_format, kind',
    [
        ('onnx', 'two_stage'),
        ('onnx', 'cascade'),
        ('onnx', 'deformable'),
        ('torchscript', 'two_stage'),
        ('torchscript', 'cascade'),
        ('torch_export', 'two_stage'),
    ],
)
def test_formats(formats, deploy_configs, export, random_model, file_format, kind):
    """Outputs equal those of the model for other batches than the one that
    was exported and checked, and for other image sizes where the help says
    so."""
    skip_missing(file_format)
    run = formats.FORMATS[file_format].load(export(kind, file_format), 'cpu')
    model = random_model(deploy_configs[kind])
    width, height = dict(cascade=(192, 144)).get(kind, (96, 128))
    shapes = [(1, height, width), (4, height, width)]
    if file_format != 'torch_export':
        shapes.append((2, height + 33, width + 20))
    for num, *size in shapes:
        generator = torch.Generator().manual_seed(num)
        images = torch.randint(256, (num, 3, *size), generator=generator, dtype=torch.uint8)
        found = run(images.numpy())
        expected = outputs_of(model, images)
        assert len(found) == len(expected) == (4 if kind == 'cascade' else 2)
        for f, e in zip(found, expected):
            torch.testing.assert_close(torch.from_numpy(f), e, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('kind', ['two_stage', 'cascade'])
def test_metadata(utils, deploy_configs, random_model, kind):
    meta = utils.describe(random_model(deploy_configs[kind]), 'a.py')
    assert meta['kind'] == kind
    assert meta['keypoint_names'][5] == 'left_shoulder'
    assert meta['flip_indices'][5] == 6
    assert [5, 7] in [sorted(link) for link in meta['skeleton_links']]
    assert meta['include_background'] is False
    if kind == 'cascade':
        assert meta['input_size'] == [192, 144]
        assert meta['keep_ratio'] is True and meta['size_divisor'] == 1
        assert meta['score_thr'] == 0.05
    else:
        assert meta['input_size'] == [96, 128]
        assert meta['bbox_padding'] == 1.25


def test_what_cannot_be_exported(utils, deploy_configs, random_model):
    udp = {'test_dataloader.dataset.pipeline.2.use_udp': True}
    with pytest.raises(ValueError, match='use_udp'):
        utils.describe(random_model(deploy_configs['two_stage'], udp), 'a.py')
    resized = {'test_dataloader.dataset.pipeline.1.type': 'Resize'}
    with pytest.raises(ValueError, match='no BottomupRandomChoiceResize'):
        utils.describe(random_model(deploy_configs['cascade'], resized), 'a.py')
    other = SimpleNamespace(head=torch.nn.Identity())
    with pytest.raises(ValueError, match='PRTRHead.*Identity'):
        utils.describe(other, 'a.py')


class FakeModel:
    """Two images with three people, the last two of one score."""

    output_names = ['scores', 'boxes']
    scores = np.array([[0.9, 0.5, 0.5], [0.8, 0.4, 0.4]])
    boxes = np.arange(24.0).reshape(2, 3, 4)

    def example(self, metadata, batch_size):
        return torch.zeros(batch_size, 3, 4, 4)

    def __call__(self, images):
        return torch.from_numpy(self.scores), torch.from_numpy(self.boxes)


def test_comparison(utils, capsys):

    def passed(scores, boxes, tolerance=1e-4):
        return utils.compare(model, lambda images: [scores, boxes], {}, [2], tolerance)

    model = FakeModel()
    assert passed(model.scores, model.boxes)
    assert passed(model.scores, model.boxes[:, [0, 2, 1]])
    assert passed(model.scores + 5e-5, model.boxes)
    assert not passed(model.scores + 5e-4, model.boxes)
    # relative to 23
    assert passed(model.scores, model.boxes + 2e-3)
    assert not passed(model.scores, model.boxes + 3e-3)
    assert passed(model.scores + 0.1, model.boxes, tolerance=0.2)
    assert not passed(model.scores * np.nan, model.boxes)
    assert 'batch 2: scores nan (0.90), boxes 0.0e+00 (23.00)' in (capsys.readouterr().out)


def test_times(utils, capsys):
    utils.time_both(FakeModel(), lambda images: None, {}, [1, 3], 2)
    out = capsys.readouterr().out
    assert 'Median of 2 runs in turns, 1 threads' in out
    assert out.count('times as fast') == 2 and 'batch 3: PyTorch' in out


@pytest.fixture
def broken(deploy_configs, random_model, tmp_path):
    """Arguments that export to a file that exists already."""
    out, checkpoint = tmp_path / 'out' / 'old.onnx', tmp_path / 'model.pth'
    out.parent.mkdir()
    out.write_text('old')
    config = deploy_configs['two_stage']
    torch.save(random_model(config).state_dict(), checkpoint)
    return config, checkpoint, out


def run_broken(run_tool, broken, *args):
    result = run_tool('deployment/export_onnx.py', *broken, '--repeats=0', '--batch-sizes=1', *args)
    config, checkpoint, out = broken
    # no new file, nothing half-written
    assert [f.read_text() for f in out.parent.iterdir()] == ['old']
    return result.code


def test_a_failed_check_leaves_the_old_file(run_tool, broken):
    pytest.importorskip('onnxruntime')
    code = run_broken(run_tool, broken, '--tolerance=-1')
    assert 'differ by more than --tolerance=-1' in code


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_missing_package(run_tool, broken, monkeypatch, package):
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name)
    monkeypatch.setitem(sys.modules, package, None)
    code = run_broken(run_tool, broken)
    assert f'needs the package {package}: install it with' in code


def test_config_and_checkpoint_must_fit(run_tool, broken):
    config, checkpoint, out = broken
    no_config = (f'{config}.missing.py', checkpoint, out)
    assert 'missing.py' in run_broken(run_tool, no_config)
    weights = torch.load(checkpoint)
    del weights['head.fc_cls.bias']
    torch.save(weights, checkpoint)
    assert 'head.fc_cls.bias' in run_broken(run_tool, broken)
    checkpoint.unlink()
    assert 'not exist' in run_broken(run_tool, broken)


def test_arguments(run_tool, capsys):
    for out, *args, message in (
        ('m.onnx', '--opset=15', 'which has GridSample'),
        ('m.onnx', '--batch-sizes', 0, 'must be positive'),
        ('m.pt', 'must end with .onnx'),
        ('m.onnx', '--format=torch_export', 'must end with .pt2'),
    ):
        result = run_tool('deployment/export_onnx.py', 'c', 'm', out, *args)
        assert result.code == 2
        assert message in capsys.readouterr().err


def test_opset(deploy_configs, random_model, formats, utils, tmp_path):
    onnx = pytest.importorskip('onnx')
    model = random_model(deploy_configs['two_stage'])
    metadata = utils.describe(model, 'a.py')
    formats.write_onnx(utils.RawModel(model), metadata, tmp_path / 'm.onnx', opset=16)
    proto = onnx.load(str(tmp_path / 'm.onnx'))
    assert proto.opset_import[0].version == 16
