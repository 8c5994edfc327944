"""People on pictures."""

from types import SimpleNamespace

import numpy as np
import pytest

from prtr_plugin.datasets.joints import make_dataset_info, parse_dataset_info
from prtr_plugin.visualization import draw_people


@pytest.fixture
def meta():
    return parse_dataset_info(make_dataset_info('x', ['left_a', 'right_a', 'b'], [[0, 1]]))


def person(points, scores):
    return SimpleNamespace(
        keypoints=np.array(points, np.float32),
        keypoint_scores=np.array(scores, np.float32),
        bbox=np.array([5, 5, 90, 90], np.float32),
    )


def test_joints_in_the_colours_of_the_dataset(meta):
    image = np.full((100, 120, 3), 200, np.uint8)
    drawn = draw_people(image, [person([[20, 20], [80, 20], [50, 80]], [1, 1, 0.1])], meta)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (image == 200).all()
    # BGR: left is green, right is orange
    assert np.abs(drawn[20, 20].astype(int) - (0, 255, 0)).max() < 60
    assert np.abs(drawn[20, 80].astype(int) - (0, 128, 255)).max() < 60
    # the link, and nothing where the score is low
    assert (drawn[20, 50] != 200).any() and (drawn[80, 50] == 200).all()
    assert (drawn[5, 40] != 200).any()
    without = draw_people(image, [person([[20, 20]] * 3, [0, 0, 0])], meta, with_boxes=False)
    assert (without == 200).all()


def test_nobody(meta):
    image = np.zeros((10, 10, 3), np.uint8)
    drawn = draw_people(image, [], meta)
    assert (drawn == image).all() and drawn is not image
