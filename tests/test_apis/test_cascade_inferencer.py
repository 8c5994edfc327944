"""Whole pictures in, people out: mmpose's inferencer and ours."""

import json
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.apis import MMPoseInferencer, inference_bottomup, init_model
from mmpose.structures import PoseDataSample

from helpers.odd_pictures import check_odd_pictures
from prtr_plugin.apis import PRTRInferencer, load_config
from prtr_plugin.checkpoints import CheckpointError

pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture(scope='module')
def files(cascade_config, quick_options, train_an_epoch, tmp_path_factory):
    """A config and a checkpoint of a model that has learned nothing."""
    path = tmp_path_factory.mktemp('config') / 'config.py'
    options = {**quick_options, 'model.test_cfg.score_thr': 0.0}
    load_config(cascade_config, options).dump(path)
    return str(path), train_an_epoch(cascade_config)


@pytest.fixture(scope='module')
def plain(files):
    return MMPoseInferencer(*files, device='cpu')


@pytest.fixture(scope='module')
def inferencer(files):
    return PRTRInferencer(*files, device='cpu')


@pytest.fixture(scope='module')
def folder(synthetic_people):
    return synthetic_people / 'val2017'


@pytest.fixture(scope='module')
def picture(folder):
    return str(min(folder.glob('*.jpg')))


def people(inferencer, *args, **kwargs):
    """The only image's."""
    (result,) = inferencer(*args, **kwargs)
    (found,) = result['predictions']
    return found


def scores(found):
    return [person['bbox_score'] for person in found]


def coordinates(found):
    """Boxes and joints in shape (P, 2 + K, 2)."""
    return np.array(
        [[*np.reshape(person['bbox'], (2, 2)), *person['keypoints']] for person in found]
    )


def test_mmpose_inferencer(plain, files, picture):
    found = people(plain, picture)
    assert len(found) == plain.inferencer.model.test_cfg['max_persons']
    assert scores(found) == sorted(scores(found), reverse=True)
    assert 0 < min(scores(found)) and max(scores(found)) < 1
    for person in found:
        assert np.shape(person['keypoints']) == (17, 2)
        assert np.shape(person['keypoint_scores']) == (17,)
        low, high = np.reshape(person['bbox'], (2, 2))
        assert (low < high).all()
    points = coordinates(found)
    assert (points >= 0).all() and (points <= [160, 120]).all()
    assert points.max() > 100
    # an array gives the same as its file, and a detector is not asked for
    assert people(plain, cv2.imread(picture)) == found
    other = MMPoseInferencer(*files, det_model='whole_image', device='cpu')
    assert people(other, picture) == found


def test_pixels_of_the_image(inferencer, picture):
    """The network gets the same input, whatever the image's size."""
    resize = inferencer.inferencer.cfg.val_pipeline[1]
    small = cv2.resize(cv2.imread(picture), tuple(resize.scales[0]))
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    found = people(inferencer, small, bbox_thr=0)
    larger = people(inferencer, large, bbox_thr=0)
    assert scores(larger) == pytest.approx(scores(found), abs=1e-4)
    assert coordinates(larger) == pytest.approx(3 * coordinates(found), abs=0.1)


def test_threshold(inferencer, plain, picture):
    everybody = people(inferencer, picture, bbox_thr=0)
    assert everybody == people(plain, picture)
    some = sorted(scores(everybody))[len(everybody) // 2]
    for kwargs in (dict(), dict(bbox_thr=some), dict(bbox_thr=1)):
        found = people(inferencer, picture, **kwargs)
        expected = [
            person for person in everybody if person['bbox_score'] > kwargs.get('bbox_thr', 0.3)
        ]
        assert scores(found) == pytest.approx(scores(expected))
        if expected:
            assert np.allclose(coordinates(found), coordinates(expected), atol=1e-2)
    # what PRTRInferencer is for
    assert people(plain, picture, bbox_thr=1) == everybody


def test_threshold_of_each_call(inferencer, picture):
    """Results are made when they are asked for."""
    none = inferencer([picture, picture], bbox_thr=1)
    everybody = inferencer([picture, picture], bbox_thr=0)
    for _ in range(2):
        assert next(none)['predictions'] == [[]]
        assert len(next(everybody)['predictions'][0]) > 1


def test_threshold_of_the_model_stays(inferencer, picture, monkeypatch):
    """Between images, without asking for the rest, and after an error."""
    model = inferencer.inferencer.model
    before, used = dict(model.test_cfg), []
    test_step = model.test_step

    def record(data):
        used.append(model.test_cfg['score_thr'])
        return test_step(data)

    monkeypatch.setattr(model, 'test_step', record)
    results = inferencer([picture, picture], bbox_thr=0.9)
    assert model.test_cfg == before
    next(results)
    assert model.test_cfg == before
    results.close()
    with pytest.raises(FileNotFoundError):
        list(inferencer([picture, 'nothing.jpg'], bbox_thr=0.8))
    assert model.test_cfg == before
    people(inferencer, picture)
    assert used == [0.9, 0.8, 0.3]

    monkeypatch.setattr(model, 'test_step', lambda data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(inferencer(picture, bbox_thr=0.9))
    assert model.test_cfg == before


def test_other_models(small_config, checkpoint, quick_options, picture, tmp_path):
    """The two-stage model as with mmpose's inferencer."""
    config = str(tmp_path / 'config.py')
    load_config(small_config, quick_options).dump(config)
    first, second = [
        people(
            cls(config, checkpoint, device='cpu', det_model='whole_image'), picture, bbox_thr=0.99
        )
        for cls in (PRTRInferencer, MMPoseInferencer)
    ]
    assert first == second and len(first) == 1


def test_drawing(inferencer, picture):

    def draw(**kwargs):
        (result,) = inferencer(picture, return_vis=True, **kwargs)
        return result['visualization'][0], result['predictions'][0]

    image = mmcv.imread(picture, channel_order='rgb')
    green = np.array([0, 255, 0])

    drawn, _ = draw(bbox_thr=0, kpt_thr=1)
    assert (drawn == image).all()
    joints, _ = draw(bbox_thr=0, kpt_thr=0)
    assert (joints != image).any()
    # a person below the threshold is neither returned nor drawn
    drawn, found = draw(bbox_thr=1, kpt_thr=0, draw_bbox=True)
    assert found == [] and (drawn == image).all()
    second = scores(draw(bbox_thr=0)[1])[1]
    drawn, found = draw(bbox_thr=second, kpt_thr=1, draw_bbox=True)
    (x1, y1), (x2, y2) = coordinates(found)[0, :2].astype(int)
    assert len(found) == 1
    changed = (drawn != image).any(axis=-1)
    assert changed.any()
    changed[max(y1 - 2, 0) : y2 + 3, max(x1 - 2, 0) : x2 + 3] = False
    assert not changed.any()
    assert (drawn[(y1 + y2) // 2, max(x1 - 2, 0) : x1 + 3] == green).any()


@pytest.mark.slow
def test_odd_pictures(inferencer, odd_pictures):
    check_odd_pictures(lambda path: list(inferencer(path)), odd_pictures)


def test_pictures_in_other_ways(inferencer, picture, folder, tmp_path):
    """A path, a pattern and floats; a picture that cannot be read is named."""
    found = people(inferencer, picture, bbox_thr=0)
    assert people(inferencer, Path(picture), bbox_thr=0) == found
    assert people(inferencer, cv2.imread(picture) / 255, bbox_thr=0) == found
    for pattern in ('*.jpg', '0000010000[0-9]?.jpg'):
        assert len(list(inferencer(f'{folder}/{pattern}'))) == 4
    (tmp_path / 'empty.jpg').touch()
    with pytest.raises(ValueError, match=r'images\[1\]: The file ".*empty.jpg" .* it is empty'):
        list(inferencer([picture, str(tmp_path / 'empty.jpg')]))
    with pytest.raises(ValueError, match='5000x1 pixels, .* too thin'):
        next(inferencer(np.zeros((1, 5000, 3), np.uint8)))
    for name in ('bbox_thr', 'kpt_thr'):
        with pytest.raises(ValueError, match=f'{name} must be a score from 0 to 1'):
            inferencer(picture, **{name: 30})


def test_models_and_weights(files, small_config, checkpoint, quick_options, tmp_path):
    """Models by name, weights that fit, and no download of a detector."""
    config, weights = files
    name = Path(small_config).stem
    for spelling in (name, f'{name}.py', small_config):
        with pytest.raises(ValueError, match='needs det_model'):
            PRTRInferencer(spelling, checkpoint, device='cpu')
        with pytest.raises(CheckpointError, match=f'^{checkpoint}: .*does not fit the model'):
            # of fewer layers
            PRTRInferencer(spelling, checkpoint, device='cpu', det_model='whole_image')
    with pytest.raises(CheckpointError, match='does not fit the model'):
        PRTRInferencer(config, checkpoint, device='cpu')
    with pytest.raises(ValueError, match='needs pose2d_weights'):
        PRTRInferencer(config, device='cpu')
    with pytest.raises(ValueError, match="There is no device 'gpu' here. Use cpu"):
        PRTRInferencer(config, weights, device='gpu')
    with pytest.raises(FileNotFoundError, match='config file "nothing.py"'):
        PRTRInferencer('nothing.py', weights)


def test_nobody(inferencer, picture, tmp_path):
    (result,) = inferencer(
        picture, bbox_thr=1, draw_bbox=True, pose_based_nms=True, out_dir=str(tmp_path)
    )
    assert result['predictions'] == [[]]
    (path,) = (tmp_path / 'predictions').glob('*.json')
    assert json.loads(path.read_text()) == []
    (path,) = (tmp_path / 'visualizations').glob('*.jpg')
    assert cv2.imread(str(path)).shape == (120, 160, 3)


def test_folder(inferencer, folder, tmp_path):
    results = list(inferencer(str(folder), batch_size=3, bbox_thr=0, out_dir=str(tmp_path)))
    assert len(results) == 4
    paths = sorted((tmp_path / 'predictions').glob('*.json'))
    assert len(paths) == 4
    for result, path in zip(results, paths):
        (found,) = result['predictions']
        assert len(json.loads(path.read_text())) == len(found) > 0
    assert len(list((tmp_path / 'visualizations').glob('*.jpg'))) == 4


def test_repetitions(inferencer, picture, monkeypatch):
    """Of two people whose joints lie beside each other the better one."""
    joints = np.random.default_rng(0).random((17, 2)) * 100
    found = InstanceData(
        bboxes=np.tile([0, 0, 100, 100.0], (3, 1)),
        bbox_scores=np.array([0.9, 0.8, 0.7]),
        keypoints=np.stack((joints, joints + 0.5, 100 - joints)),
        keypoint_scores=np.ones((3, 17)),
    )
    monkeypatch.setattr(
        inferencer.inferencer.model,
        'test_step',
        lambda data: [PoseDataSample(pred_instances=found.clone())],
    )
    assert scores(people(inferencer, picture)) == [0.9, 0.8, 0.7]
    assert scores(people(inferencer, picture, pose_based_nms=True)) == [0.9, 0.7]


def test_inference_bottomup(files, picture, plain):
    config, checkpoint = files
    # without options init_model looks for model.backbone
    model = init_model(config, checkpoint, device='cpu', cfg_options={})
    found = people(plain, picture)
    for image in (picture, cv2.imread(picture)):
        (sample,) = inference_bottomup(model, image)
        instances = sample.pred_instances
        assert instances.bboxes.shape == (len(found), 4)
        assert np.allclose(instances.bbox_scores, scores(found))
        assert np.allclose(instances.keypoints, coordinates(found)[:, 2:])
    assert model.dataset_meta['num_keypoints'] == 17
