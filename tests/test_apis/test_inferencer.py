"""mmpose's own ways to run a model on a picture."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from mmpose.structures import PoseDataSample

from prtr_plugin.apis import load_config

ROOT = Path(__file__).resolve().parents[2]
SIZE = np.array([160, 120])
pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture(scope='module')
def config(small_config, quick_options, tmp_path_factory):
    """The file that fits ``checkpoint``."""
    path = tmp_path_factory.mktemp('config') / 'config.py'
    load_config(small_config, quick_options).dump(path)
    return str(path)


@pytest.fixture(scope='module')
def picture(synthetic_people):
    return str(min((synthetic_people / 'val2017').glob('*.jpg')))


@pytest.fixture(scope='module')
def inferencer(config, checkpoint):
    return MMPoseInferencer(
        pose2d=config, pose2d_weights=checkpoint, det_model='whole_image', device='cpu'
    )


@pytest.fixture(scope='module')
def model(config, checkpoint):
    return init_model(config, checkpoint, device='cpu')


def check_person(keypoints, scores, box=((0, 0), SIZE)):
    keypoints, scores = np.asarray(keypoints), np.asarray(scores)
    assert keypoints.shape == (17, 2) and scores.shape == (17,)
    assert (scores > 0).all() and (scores < 1).all()
    # a crop is the box enlarged by a quarter and padded to its aspect ratio
    low, high = np.array(box)
    reach = (high - low).max() * 1.25 * 4 / 3 / 2
    assert (abs(keypoints - (low + high) / 2) <= reach).all()
    assert keypoints.std() > 0


def test_inferencer(inferencer, picture):
    (result,) = inferencer(picture)
    (person,) = result['predictions'][0]
    assert person['bbox'][0] == [0, 0, *SIZE]
    check_person(person['keypoints'], person['keypoint_scores'])
    # an array gives the same as its file
    (other,) = inferencer(cv2.imread(picture))
    assert other['predictions'][0][0]['keypoints'] == person['keypoints']


def test_inferencer_on_a_folder(inferencer, synthetic_people, tmp_path):
    folder = str(synthetic_people / 'val2017')
    results = list(inferencer(folder, batch_size=3, out_dir=str(tmp_path)))
    assert sum(len(r['predictions']) for r in results) == 4
    assert len(list((tmp_path / 'predictions').glob('*.json'))) == 4
    drawn = list((tmp_path / 'visualizations').glob('*.jpg'))
    assert len(drawn) == 4
    assert cv2.imread(str(drawn[0])).shape == (120, 160, 3)


def test_topdown_without_a_box(model, inferencer, picture):
    (sample,) = inference_topdown(model, picture)
    assert isinstance(sample, PoseDataSample)
    found = sample.pred_instances
    assert found.keypoints.shape == (1, 17, 2)
    check_person(found.keypoints[0], found.keypoint_scores[0])
    person = next(inferencer(picture))['predictions'][0][0]
    assert np.allclose(person['keypoints'], found.keypoints[0])
    assert np.allclose(person['keypoint_scores'], found.keypoint_scores[0])


def test_topdown_with_boxes(model, picture):
    boxes = np.array([[10.0, 20, 60, 110], [70, 5, 100, 90], [0, 0, 160, 120]])
    samples = inference_topdown(model, picture, boxes)
    assert len(samples) == 3
    for sample, box in zip(samples, boxes):
        found = sample.pred_instances
        assert (found.bboxes[0] == box).all()
        check_person(found.keypoints[0], found.keypoint_scores[0], box.reshape(2, 2))
    # boxes by width and height, and in a batch of their own
    boxes[:, 2:] -= boxes[:, :2]
    for i in range(3):
        (alone,) = inference_topdown(model, picture, boxes[i : i + 1], 'xywh')
        assert np.allclose(
            alone.pred_instances.keypoints, samples[i].pred_instances.keypoints, atol=1e-3
        )


def test_dataset_meta(model, config):
    """From the checkpoint, and from the config where there is none."""
    for each in (model, init_model(config, device='cpu')):
        assert each.dataset_meta['num_keypoints'] == 17
        assert each.dataset_meta['keypoint_id2name'][0] == 'nose'
        assert each.dataset_meta['flip_indices'][1] == 2


def test_other_number_of_joints(tmp_path, picture, small_config):
    """14 joints named by the config: no checkpoint, no COCO."""
    folder = small_config.rsplit('/', 2)[0]
    cfg = load_config(f'{folder}/lspe/td-prtr_res18_1xb32-1e_lspe-128x96.py')
    cfg.dump(tmp_path / 'config.py')
    (result,) = MMPoseInferencer(
        pose2d=str(tmp_path / 'config.py'), det_model='whole_image', device='cpu'
    )(picture, out_dir=str(tmp_path))
    (person,) = result['predictions'][0]
    assert len(person['keypoints']) == len(person['keypoint_scores']) == 14


SCRIPT = """
import json, sys
from mmpose.apis import MMPoseInferencer
config, checkpoint, picture = sys.argv[1:]
inferencer = MMPoseInferencer(
    pose2d=config, pose2d_weights=checkpoint, det_model='whole_image',
    device='cpu')
person, = next(inferencer(picture))['predictions'][0]
print(json.dumps(person['keypoints']))
"""


@pytest.mark.slow
def test_plugin_need_not_be_imported(config, checkpoint, picture, inferencer, tmp_path):
    """The config's custom_imports are enough, in any folder."""
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, config, checkpoint, picture],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    keypoints = json.loads(done.stdout.splitlines()[-1])
    expected = next(inferencer(picture))['predictions'][0][0]
    assert np.allclose(keypoints, expected['keypoints'], atol=1e-3)
