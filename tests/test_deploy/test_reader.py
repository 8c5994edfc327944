"""The file that runs exported models without PyTorch."""

import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmpose.apis import inference_bottomup, inference_topdown
from mmpose.registry import KEYPOINT_CODECS, TRANSFORMS

# one that leaves the image, one wider than high, one higher than wide
BOXES = [[-20.5, 30, 60, 170], [10, 10.25, 150, 60], [100, 20, 121, 110]]
# Runs a script where what it must not need cannot be imported.
WITHOUT = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {forbidden}:
            raise ModuleNotFoundError('refused: ' + name, name=name)
sys.meta_path.insert(0, Refuse())
sys.argv = {argv}
runpy.run_path(sys.argv[0], run_name='__main__')
"""
FORBIDDEN = ['torch', 'mmengine', 'mmcv', 'mmdet', 'mmpose', 'prtr_plugin']

pytest.importorskip('onnxruntime')
# after the check, as it needs onnxruntime
from helpers.odd_pictures import check_odd_pictures  # noqa: E402
from prtr_plugin.deploy import reader  # noqa: E402
from prtr_plugin.deploy.metadata import describe  # noqa: E402
from prtr_plugin.models.estimators.cascade_data import select_people  # noqa: E402


@pytest.fixture(scope='module')
def image():
    """A smooth picture of 160x120 pixels, other in each channel."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    return cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def image_file(image, tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), image)
    return path


def run_alone(script, *args, forbidden=FORBIDDEN):
    code = WITHOUT.format(argv=list(map(str, (script, *args))), forbidden=forbidden)
    command = [sys.executable, '-c', code]
    return subprocess.run(command, text=True, capture_output=True)


@pytest.fixture
def copied(tmp_path):
    """The file alone in a folder, where nothing of the package is near."""
    return shutil.copy(reader.__file__, tmp_path)


@pytest.mark.parametrize('flip_test, shift_coords', [(False, False), (True, False), (True, True)])
def test_two_stage_equals_pytorch(
    exported, deploy_configs, random_model, image, flip_test, shift_coords
):
    model = random_model(deploy_configs['two_stage'])
    model.test_cfg.update(flip_test=flip_test, shift_coords=shift_coords)
    expected = inference_topdown(model, image, np.float32(BOXES))
    file = reader.Model(exported('two_stage'))
    assert file.meta['shift_coords'] is False
    file.meta['shift_coords'] = describe(model)['shift_coords']
    found = reader.predict(file, image, BOXES, flip_test)
    assert len(found) == len(expected) == 3
    for bbox, f, e in zip(BOXES, found, expected):
        e = e.pred_instances
        assert f['bbox'] == bbox
        np.testing.assert_allclose(f['keypoints'], e.keypoints[0], atol=1e-3, rtol=0)
        np.testing.assert_allclose(f['keypoint_scores'], e.keypoint_scores[0], atol=1e-5)


def test_whole_image_by_default(exported, image):
    model = reader.Model(exported('two_stage'))
    expected = reader.predict(model, image)
    for boxes in ([], [[0, 0, 160, 120]], np.array([[0, 0, 160, 120]])):
        (person,) = reader.predict(model, image, boxes)
        np.testing.assert_array_equal(person.pop('bbox'), [0, 0, 160, 120])
        assert person == {k: v for k, v in expected[0].items() if k != 'bbox'}
    with pytest.raises(ValueError, match=r'bboxes must be in shape \(N, 4\), .*shape \(4,\)'):
        reader.predict(model, image, [0, 0, 160, 120])


@pytest.mark.parametrize('upright', [False, True])
def test_cascade_equals_pytorch(exported, deploy_configs, random_model, image, upright):
    if upright:
        image = np.ascontiguousarray(image.transpose(1, 0, 2))
    people = inference_bottomup(random_model(deploy_configs['cascade']), image)
    expected = people[0].pred_instances
    model = reader.Model(exported('cascade'))
    found = reader.predict(model, image, score_thr=0.05)
    assert len(found) == len(expected) == 10
    names = dict(bbox='bboxes', bbox_score='bbox_scores')
    for key in found[0]:
        values = [person[key] for person in found]
        # a thousandth of a pixel, or of a percent
        np.testing.assert_allclose(
            values, expected[names.get(key, key)], atol=1e-5 if 'score' in key else 1e-3, rtol=0
        )

    threshold = np.median(expected.bbox_scores)
    assert len(reader.predict(model, image, score_thr=threshold)) == 5
    assert reader.predict(model, image, score_thr=1) == []


@pytest.mark.parametrize('nms_thr', [None, 0.1, 0.5])
def test_same_people_as_pytorch(nms_thr):
    generator = np.random.default_rng(0)
    boxes = 0.3 + 0.4 * generator.random((20, 4), np.float32)
    scores = -np.sort(-generator.random(20, np.float32))
    people = torch.from_numpy(np.c_[boxes, scores])
    expected = select_people(people[None], 0.3, nms_thr)[0].nonzero().flatten()
    found = reader.select_people(boxes, scores, 0.3, nms_thr)
    assert found.tolist() == expected.tolist()
    assert 0 < len(found) < (scores > 0.3).sum() or nms_thr is None
    assert len(reader.select_people(boxes, scores, 1, nms_thr)) == 0


@pytest.mark.parametrize('bbox', BOXES)
def test_crop_equals_mmpose(image, bbox):
    results = dict(img=image, bbox=np.float32([bbox]))
    for cfg in (
        dict(type='GetBBoxCenterScale', padding=1.3),
        dict(type='TopdownAffine', input_size=(96, 128)),
    ):
        results = TRANSFORMS.build(cfg)(results)
    crop, center, scale = reader.crop_person(image, bbox, (96, 128), 1.3)
    assert (crop == results['img']).all()
    np.testing.assert_allclose(center, results['input_center'], atol=1e-5)
    np.testing.assert_allclose(scale, results['input_scale'], rtol=1e-6)


@pytest.mark.parametrize('keep_ratio', [False, True])
@pytest.mark.parametrize('size', [(160, 120), (33, 200), (500, 70)])
def test_resize_equals_mmpose(size, keep_ratio):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    transform = TRANSFORMS.build(
        dict(type='BottomupRandomChoiceResize', scales=[(192, 144)], keep_ratio=keep_ratio)
    )
    results = transform(dict(img=image, ori_shape=size))
    resized = reader.resize_image(image, (192, 144), keep_ratio, 1)
    assert (resized == results['img']).all()
    height, width = reader.resize_image(image, (192, 144), keep_ratio, 32).shape[:2]
    assert height % 32 == width % 32 == 0
    assert abs(height - resized.shape[0]) <= 32


@pytest.mark.parametrize('include_background', [False, True])
def test_read_out_equals_the_codec(include_background):
    """With few queries many joints want the same one."""
    generator = torch.Generator().manual_seed(0)
    cls_logits = 3 * torch.randn(5, 6, 5, generator=generator)
    coords = torch.rand(5, 6, 2, generator=generator)
    codec = KEYPOINT_CODECS.build(
        dict(
            type='HungarianKeypointCodec',
            input_size=(1, 1),
            num_keypoints=4,
            include_background=include_background,
        )
    )
    expected = codec.batch_decode(cls_logits, coords)
    model = object.__new__(reader.Model)
    model.meta = dict(include_background=include_background, keypoint_names='abcd')
    found = model.read_out(cls_logits.numpy(), coords.numpy())
    for f, e in zip(found, expected):
        np.testing.assert_allclose(f[:, None], np.stack(e), atol=1e-6)


def test_without_pytorch(copied, onnx_model, image_file, tmp_path):
    out, drawn = tmp_path / 'joints.json', tmp_path / 'drawn.png'
    done = run_alone(
        copied, onnx_model, image_file, '--with-readout', '--out', out, '--draw', drawn
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert len(result['keypoint_names']) == 17
    assert {len(person['keypoints']) for person in result['people']} == {17}
    # small images are enlarged
    assert cv2.imread(str(drawn)).shape == (480, 640, 3)


def test_missing_package(copied):
    """That is, the test above can fail."""
    done = run_alone(copied, '--help', forbidden=['scipy'])
    assert done.returncode == 1
    assert 'Error: scipy is missing' in done.stderr


@pytest.fixture
def run(monkeypatch):
    """Runs the file as a script in this process."""

    def main(*args):
        monkeypatch.setattr(sys, 'argv', ['reader.py', *map(str, args)])
        reader.main()

    return main


def test_raw_outputs(onnx_model, image_file, run, tmp_path):
    out = tmp_path / 'raw.npz'
    run(onnx_model, image_file, '--out', out)
    raw = np.load(out)
    model = reader.Model(onnx_model)
    assert raw['images'].shape[:2] == (1, 3)
    for name, value in model(raw['images']).items():
        assert (raw[name] == value).all()
    assert set(raw) == {'images', *model.output_names}


def test_json_on_the_screen(onnx_model, image_file, run, capsys):
    run(onnx_model, image_file, '--with-readout')
    assert json.loads(capsys.readouterr().out)['image'] == str(image_file)


def test_drawing():
    """In the colours of the metadata, which are RGB; low scores are not drawn."""
    meta = dict(
        keypoint_names=['nose', 'left_eye', 'right_eye'],
        skeleton_links=[[0, 1]],
        keypoint_colors=[[10, 20, 30], [40, 50, 60], [70, 80, 90]],
        skeleton_link_colors=[[100, 110, 120]],
    )
    person = dict(
        bbox=[10, 10, 60, 60],
        keypoints=[[20, 20], [40, 20], [40, 40]],
        keypoint_scores=[0.9, 0.9, 0.9],
    )
    black = np.zeros((640, 640, 3), np.uint8)

    def at(picture, x, y):
        return tuple(picture[y, x].tolist())

    picture = reader.draw(black, [person], meta, 0.5)
    assert at(picture, 20, 20) == (30, 20, 10) and at(picture, 40, 20) == (60, 50, 40)
    assert at(picture, 40, 40) == (90, 80, 70) and at(picture, 30, 20) == (120, 110, 100)
    assert at(picture, 10, 35) == (255, 255, 255)
    person['keypoint_scores'] = [0.9, 0.1, 0.9]
    picture = reader.draw(black, [person], meta, 0.5)
    assert at(picture, 40, 20) == at(picture, 30, 20) == (0, 0, 0)
    # of an older export
    del meta['keypoint_colors'], meta['skeleton_link_colors']
    assert at(reader.draw(black, [person], meta, 0), 30, 20) == reader.COLOR[::-1]


def test_bad_input(exported, image_file, run, tmp_path):
    onnx = pytest.importorskip('onnx')
    two_stage, cascade = exported('two_stage'), exported('cascade')
    foreign = tmp_path / 'foreign.onnx'
    proto = onnx.load(two_stage)
    del proto.metadata_props[:]
    onnx.save(proto, str(foreign))
    read = '--with-readout'
    nowhere, existing = tmp_path / 'nowhere', tmp_path / 'old.json'
    existing.touch()
    for args, message in (
        (['nothing.onnx', image_file], 'nothing.onnx does not exist'),
        ([image_file, image_file], 'cannot be read as an ONNX model'),
        ([foreign, image_file], 'lacks the metadata that export_onnx.py'),
        ([two_stage, 'nothing.jpg'], 'nothing.jpg" does not exist'),
        ([two_stage, image_file, '--bbox', 9, 5, 9, 8], 'x1 < x2 and y1 < y2'),
        ([two_stage, image_file, '--bbox', 0, 5, 'inf', 8], 'x1 < x2 and y1 < y2'),
        ([two_stage, image_file, '--bbox', 500, 5, 509, 8], 'overlap the image of 160x120'),
        ([cascade, image_file, '--bbox', 1, 1, 9, 9], 'takes no boxes'),
        ([cascade, image_file, read, '--flip-test'], 'flip_test is for'),
        ([two_stage, image_file, read, '--out', nowhere / 'a.json'], 'make its folder'),
        ([two_stage, image_file, read, '--draw', nowhere / 'a.png'], 'cannot be written'),
        ([two_stage, image_file, read, '--draw', 'a.nothing'], 'ending of a picture'),
        ([two_stage, image_file, read, '--draw', image_file, '--force'], 'exists'),
        ([two_stage, image_file, read, '--out', existing], 'exists. Give another name'),
    ):
        with pytest.raises(SystemExit, match=r'^Error: (.|\n)*' + re.escape(message)):
            run(*args)


def test_odd_pictures(onnx_model, run, odd_pictures, capsys, monkeypatch):
    model = reader.Model(onnx_model)
    monkeypatch.setattr(reader, 'Model', lambda *args: model)

    def read(path):
        try:
            run(onnx_model, path, '--with-readout')
        except SystemExit as exit:
            return exit.code

    check_odd_pictures(read, odd_pictures)
    image = reader.read_image(odd_pictures / 'plain.png')
    for same in (image / 255, np.float32(image), image.astype(np.int64)):
        assert reader.predict(model, same) == reader.predict(model, image)
    with pytest.raises(ValueError, match='The image must be of dtype uint8'):
        reader.predict(model, image.astype(np.uint16) * 257)
    with pytest.raises(ValueError, match='score_thr must be from 0 to 1'):
        reader.predict(model, image, score_thr=30)


def test_devices(exported, monkeypatch):
    """A missing accelerator is no reason to fail unless it is asked for."""
    path = exported('two_stage')
    monkeypatch.setattr('onnxruntime.get_available_providers', lambda: ['CPU'])
    assert reader.Model(path).session.get_providers() == ['CPUExecutionProvider']
    with pytest.raises(ValueError, match='onnxruntime-gpu'):
        reader.Model(path, 'cuda')


@pytest.mark.parametrize(
    'args', [['--with-readout', '--out=a.npz'], ['--out=a.json'], ['--flip-test'], ['--draw=a.png']]
)
def test_arguments(run, args):
    with pytest.raises(SystemExit) as exit:
        run('model.onnx', 'image.jpg', *args)
    assert exit.value.code == 2
