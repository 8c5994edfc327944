import copy
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpose.structures import PoseDataSample

from prtr_plugin.apis import export
from prtr_plugin.deploy.checks import compare, time_run
from prtr_plugin.deploy.formats import FORMATS, on_arrays, write_onnx
from prtr_plugin.deploy.metadata import describe
from prtr_plugin.deploy.raw_model import RawModel

CPU = torch.device('cpu')


def skip_missing(ending):
    if ending == '.onnx':
        pytest.importorskip('onnxruntime')
    elif ending == '.pt2' and not hasattr(torch.export, 'Dim'):
        pytest.skip('torch < 2.2')


def outputs_of(model, images):
    """As mmpose runs a model: uint8 images through its preprocessor."""
    samples = [PoseDataSample(metainfo=dict(img_shape=image.shape[1:])) for image in images]
    with torch.no_grad():
        data = model.data_preprocessor(dict(inputs=list(images), data_samples=samples))
        return model(**data, mode='tensor')


# the others take long or differ little
@pytest.mark.parametrize(
    'ending, kind',
    [
        ('.onnx', 'two_stage'),
        ('.onnx', 'cascade'),
        pytest.param('.onnx', 'deformable', marks=pytest.mark.slow),
        pytest.param('.onnx', 'pixel', marks=pytest.mark.slow),
        ('.pt', 'two_stage'),
        ('.pt', 'cascade'),
        pytest.param('.pt2', 'two_stage', marks=pytest.mark.slow),
    ],
)
def test_formats(deploy_configs, exported, random_model, ending, kind):
    """Outputs equal those of the model for other batches than the one that
    was exported and checked, and for other image sizes where README.md says
    so."""
    skip_missing(ending)
    _, load = FORMATS[ending]
    run = load(exported(kind, ending), CPU)
    model = random_model(deploy_configs[kind])
    width, height = dict(cascade=(192, 144)).get(kind, (96, 128))
    shapes = [(1, height, width), (4, height, width)]
    if ending != '.pt2':
        shapes.append((2, height + 33, width + 20))
    for num, *size in shapes:
        generator = torch.Generator().manual_seed(num)
        images = torch.randint(256, (num, 3, *size), generator=generator, dtype=torch.uint8)
        found = run(images.numpy())
        expected = outputs_of(model, images)
        assert len(found) == len(expected) == (4 if kind == 'cascade' else 2)
        for f, e in zip(found, expected):
            torch.testing.assert_close(torch.from_numpy(f), e, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    'preprocessor',
    [
        dict(mean=[1, 2, 3], std=[4, 5, 6]),
        dict(mean=[1, 2, 3], std=[4, 5, 6], bgr_to_rgb=True),
        dict(rgb_to_bgr=True),
        dict(),
    ],
)
def test_raw_model_preprocesses_as_mmpose(deploy_configs, random_model, preprocessor):
    options = {
        'model.data_preprocessor': dict(type='PoseDataPreprocessor', _delete_=True, **preprocessor)
    }
    model = random_model(deploy_configs['two_stage'], options)
    raw = RawModel(model)
    images = raw.example(1)
    assert images.shape == (1, 3, 128, 96) and images.dtype == torch.uint8
    with torch.no_grad():
        for found, expected in zip(raw(images), outputs_of(model, images)):
            assert torch.equal(found, expected)


@pytest.mark.parametrize('kind', ['two_stage', 'cascade'])
def test_metadata(deploy_configs, random_model, kind):
    meta = describe(random_model(deploy_configs[kind]))
    assert meta['kind'] == kind
    assert meta['config'] == f'{kind}.py'
    assert meta['keypoint_names'][5] == 'left_shoulder'
    assert meta['flip_indices'][5] == 6
    assert [5, 7] in [sorted(link) for link in meta['skeleton_links']]
    assert meta['keypoint_colors'][5] == [0, 255, 0] and len(meta['keypoint_colors']) == 17
    assert len(meta['skeleton_link_colors']) == len(meta['skeleton_links'])
    assert meta['include_background'] is False
    if kind == 'cascade':
        assert meta['input_size'] == [192, 144]
        assert meta['keep_ratio'] is True and meta['size_divisor'] == 1
    else:
        assert meta['input_size'] == [96, 128]
        assert meta['bbox_padding'] == 1.25


def test_what_cannot_be_exported(deploy_configs, random_model):
    udp = {'test_dataloader.dataset.pipeline.2.use_udp': True}
    with pytest.raises(ValueError, match='use_udp'):
        describe(random_model(deploy_configs['two_stage'], udp))
    resized = {'test_dataloader.dataset.pipeline.1.type': 'Resize'}
    with pytest.raises(ValueError, match='no BottomupRandomChoiceResize'):
        describe(random_model(deploy_configs['cascade'], resized))
    with pytest.raises(ValueError, match='PRTRHead.*Identity'):
        describe(SimpleNamespace(head=torch.nn.Identity()))


def test_comparison():
    """Of two images with three people, the last two of one score."""
    scores = np.array([[0.9, 0.5, 0.5], [0.8, 0.4, 0.4]])
    boxes = np.arange(24.0).reshape(2, 3, 4)

    def differences(*found):
        names = ['scores', 'boxes']
        return compare(lambda images: [scores, boxes], lambda images: found, scores, names)

    assert differences(scores, boxes) == dict(scores=0, boxes=0)
    assert differences(scores, boxes[:, [0, 2, 1]]) == dict(scores=0, boxes=0)
    assert differences(scores + 0.1, boxes) == pytest.approx(dict(scores=0.1, boxes=0))
    # relative to 23
    assert differences(scores, boxes + 2.3) == pytest.approx(dict(scores=0, boxes=0.1))
    assert math.isnan(differences(scores * np.nan, boxes)['scores'])
    with pytest.raises(ValueError, match='not run for a batch of 2: unknown'):

        def broken(images):
            raise RuntimeError('unknown operator')

        compare(lambda images: [scores], broken, scores, ['scores'])


def test_times():
    calls = []

    def run(images):
        calls.append(images)
        torch.zeros(10**6).sin()

    assert 0 < time_run(run, 'images', 3) < 1
    # some to warm up
    assert len(calls) > 3 and set(calls) == {'images'}


def test_result(deploy_configs, random_model, tmp_path):
    """Numbers for each batch size, and the model stays as it is."""
    model = random_model(deploy_configs['two_stage']).train()
    before = copy.deepcopy(model.state_dict())
    checks = export(model, str(tmp_path / 'm.pt'), batch_sizes=[1, 2], repeats=1)
    assert [check.batch_size for check in checks] == [1, 2]
    for check in checks:
        assert set(check.differences) == {'cls_logits', 'coords'}
        assert max(check.differences.values()) < 1e-5
        assert check.torch_seconds > 0 and check.exported_seconds > 0
    assert model.training and all(p.requires_grad for p in model.head.parameters())
    after = model.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[k], before[k]) for k in after)


@pytest.fixture
def fails(deploy_configs, random_model, tmp_path):
    """Checks that an export fails and leaves the file that was there."""
    out = tmp_path / 'out' / 'old.onnx'
    out.parent.mkdir()
    out.write_text('old')

    def check(error, match, **kwargs):
        model = random_model(deploy_configs['two_stage'])
        with pytest.raises(error, match=match):
            export(model, **{**dict(out=out, batch_sizes=[1], repeats=0), **kwargs})
        # no new file, nothing half-written
        assert [f.read_text() for f in out.parent.iterdir()] == ['old']

    return check


def test_different_outputs(fails):
    pytest.importorskip('onnxruntime')
    fails(ValueError, "batch of 1 .*'coords': .* more than tolerance=-1", tolerance=-1)


def test_nan_is_a_difference(fails, monkeypatch):
    nan = FORMATS['.onnx'][0], lambda path, device: lambda images: [np.nan * np.ones(1)] * 2
    pytest.importorskip('onnx')
    monkeypatch.setitem(FORMATS, '.onnx', nan)
    fails(ValueError, 'coords.*nan', tolerance=math.inf)


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_missing_package(fails, monkeypatch, package):
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name)
    monkeypatch.setitem(sys.modules, package, None)
    fails(ImportError, f'install (it|them) with `pip install [^`]*{package}')


def test_arguments(fails):
    fails(ValueError, 'end with one of .onnx, .pt, .pt2, but is "m.xml"', out='m.xml')
    fails(ValueError, 'GridSample, but is 15', opset=15)
    fails(ValueError, r'positive numbers, but is \[0\]', batch_sizes=[0])
    fails(ValueError, r'positive numbers, but is \[\]', batch_sizes=[])
    fails(ValueError, 'not be negative, but is -1', repeats=-1)


def test_opset(deploy_configs, random_model, tmp_path):
    onnx = pytest.importorskip('onnx')
    model = RawModel(random_model(deploy_configs['two_stage']))
    write_onnx(model, tmp_path / 'm.onnx', opset=16)
    proto = onnx.load(str(tmp_path / 'm.onnx'))
    assert proto.opset_import[0].version == 16


def test_on_arrays():
    run = on_arrays(lambda images: (images + 1, images * 2), CPU)
    one, two = run(np.float32([1, 2]))
    assert one.tolist() == [2, 3] and two.tolist() == [2, 4]


def test_name_instead_of_a_model(tmp_path):
    with pytest.raises(TypeError, match="model must be a model, but is 'td-prtr'.*load_model"):
        export('td-prtr', tmp_path / 'model.onnx')
