import numpy as np
import pytest
from matplotlib.text import Text
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from PIL import Image

from prtr_plugin.visualization.style import (
    figure_to_image,
    joint_colors,
    joint_indices,
    joint_names,
    joint_sides,
    label_points,
    new_figure,
    save_figure,
    show_image,
    side_handles,
    spread,
)


def metainfo(*joints):
    """Meta information of joints given as (name, name of the partner)."""
    return parse_pose_metainfo(
        dict(
            dataset_name='own',
            keypoint_info={
                i: dict(name=name, id=i, color=[0, 0, 0], type='', swap=swap)
                for i, (name, swap) in enumerate(joints)
            },
            skeleton_info={},
            joint_weights=[1.0] * len(joints),
            sigmas=[0.1] * len(joints),
        )
    )


@pytest.mark.parametrize(
    'joints, sides',
    [
        (
            [('nose', ''), ('left_hip', 'right_hip'), ('right_hip', 'left_hip')],
            ['middle', 'left', 'right'],
        ),
        ([('L_Eye', 'R_Eye'), ('R_Eye', 'L_Eye')], ['left', 'right']),
        # a single hand has no pairs, but may be named after its side
        ([('right_thumb1', ''), ('thumb2', '')], ['right', 'middle']),
        # numbered joints of a face, and a name that only begins like a side
        ([('kpt-0', 'kpt-2'), ('lip', ''), ('kpt-2', 'kpt-0')], ['right', 'middle', 'left']),
    ],
)
def test_sides(joints, sides):
    meta = metainfo(*joints)
    assert joint_sides(meta) == sides
    assert {h.get_label() for h in side_handles(meta)} == set(sides)


def test_colors(model):
    """Arms and legs are green on the left and orange on the right, as mmpose
    draws them, the head is blue, and no two joints have the same colour."""
    colors = joint_colors(model.dataset_meta)
    assert colors.shape == (17, 3)
    assert len(np.unique(colors, axis=0)) == 17
    strongest = dict(left=1, right=0, middle=2)
    for k, (color, side) in enumerate(zip(colors, joint_sides(model.dataset_meta))):
        assert color.argmax() == (2 if k < 5 else strongest[side])
    for handle in side_handles(model.dataset_meta):
        assert np.argmax(handle.get_color()) == strongest[handle.get_label()]


def test_colors_are_those_of_the_dataset():
    """Two joints of one colour differ, and white becomes grey."""
    meta = metainfo(('a', ''), ('b', ''), ('c', ''))
    meta['keypoint_colors'] = np.array([[200, 0, 0], [255, 255, 255], [200, 0, 0]], np.uint8)
    first, white, second = joint_colors(meta)
    assert first[0] > second[0] > 0.3 and not first[1:].any() and not second[1:].any()
    np.testing.assert_allclose(white, 0.6)
    (handle,) = side_handles(meta)
    np.testing.assert_array_equal(handle.get_color(), first)


def test_names(model):
    meta = model.dataset_meta
    assert joint_names(meta)[5] == 'left shoulder'
    assert joint_indices(['left_shoulder', 'nose'], meta) == [5, 0]
    assert joint_indices(None, meta) == list(range(17))
    with pytest.raises(ValueError, match='no joint tail, horn. The dataset has nose, left_eye'):
        joint_indices(['nose', 'tail', 'horn'], meta)


@pytest.mark.parametrize(
    'wanted', [[0.1, 0.3, 0.9], [0.5, 0.5, 0.5], [0, 0.99, 1.0], [-3, -2, 0.01], [0.9, 5, 6]]
)
def test_spread(wanted):
    moved = spread(np.array(wanted), 0.2)
    assert moved.min() >= 0 and moved.max() <= 1
    assert (np.diff(moved) >= 0.2 - 1e-9).all()


def test_spread_moves_only_what_is_too_close():
    wanted = np.array([0.1, 0.3, 0.9])
    assert np.allclose(spread(wanted, 0.2), wanted)


def labelled(num):
    """An axis with ``num`` labelled points that lie close together, and the
    frame of the picture."""
    figure = new_figure(5, 4)
    axis = figure.subplots()
    region = (10, 20, 70, 100)
    show_image(axis, np.zeros((120, 160, 3), dtype=np.uint8), region)
    points = np.random.RandomState(0).uniform(40, 44, (num, 2))
    label_points(axis, region, points, [f'a long name {i}' for i in range(num)], np.zeros((num, 3)))
    image = figure_to_image(figure)
    assert image.shape == (480, 600, 3) and image.dtype == np.uint8
    return axis


def test_labels_do_not_overlap():
    axis = labelled(17)
    renderer = axis.figure.canvas.get_renderer()
    assert len(axis.texts) == 17
    # of the text alone, without the line to its point
    boxes = [Text.get_window_extent(text, renderer).get_points() for text in axis.texts]
    boxes.append(axis.patches[0].get_window_extent(renderer).get_points())
    for i, a in enumerate(boxes):
        # inside of the figure
        assert (a[0] >= 0).all() and (a[1] <= [600, 480]).all()
        for b in boxes[:i]:
            assert not ((a[0] < b[1]) & (b[0] < a[1])).all()


def test_no_labels_without_room():
    assert len(labelled(133).texts) == 0


def test_small_pictures(tmp_path):
    """A PNG file is small and keeps white and colours that only a few
    pixels have."""
    figure = new_figure(2, 1)
    axis = figure.subplots()
    axis.imshow(np.random.RandomState(0).rand(50, 100, 3) * [0.2, 0.2, 1])
    axis.plot([50], [25], 's', color='lime', markersize=5)
    save_figure(figure, tmp_path / 'a/b.png')
    save_figure(figure, tmp_path / 'a/b.jpg')
    save_figure(figure, tmp_path / 'full.png', all_colors=True)
    small = Image.open(tmp_path / 'a/b.png')
    assert small.mode == 'P'
    assert Image.open(tmp_path / 'a/b.jpg').size == small.size
    pixels = np.array(small.convert('RGB')).astype(int)
    assert abs(pixels - [0, 255, 0]).sum(axis=-1).min() < 30
    assert (pixels[0, 0] == 255).all()
    sizes = [(tmp_path / name).stat().st_size for name in ('a/b.png', 'full.png')]
    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize('name', ['a/b.txt', 'a/b'])
def test_unknown_formats(tmp_path, name):
    with pytest.raises(ValueError, match=f'{name}" must end with one of .*png'):
        save_figure(new_figure(1, 1), tmp_path / name)
    assert not (tmp_path / 'a').exists()
