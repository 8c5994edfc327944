"""Images in, people out."""

import shutil
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.apis import inference_bottomup, inference_topdown

from helpers.odd_pictures import check_odd_pictures
from prtr_plugin.apis import find_images, load_model, predict
from prtr_plugin.apis.inputs import load_image

pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture(scope='module')
def model(checkpoint, small_config, quick_options):
    return load_model(small_config, checkpoint, 'cpu', cfg_options=quick_options)


@pytest.fixture(scope='module')
def cascade(cascade_config, quick_options):
    """Untrained, so that its scores are near 0.5. A few steps of training
    would leave them near 0, too close to each other to be ordered."""
    torch.manual_seed(0)
    model = load_model(cascade_config, device='cpu', random_weights=True, cfg_options=quick_options)
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def paths(synthetic_people, tmp_path_factory):
    """Images of three sizes."""
    out = tmp_path_factory.mktemp('images')
    paths = sorted((synthetic_people / 'val2017').glob('*.jpg'))[:3]
    for i, path in enumerate(paths):
        image = cv2.imread(str(path))[i * 10 :]
        assert cv2.imwrite(str(out / f'{i}.png'), image)
    return sorted(map(str, out.glob('*.png')))


@pytest.fixture(scope='module')
def bboxes():
    return [
        np.array([[10, 20, 60, 110], [70, 5, 100, 90.5], [0, 0, 160, 120]]),
        np.zeros((0, 4)),
        np.array([[40, 30, 90, 80]]),
    ]


def assert_equal(people, others, atol=1e-3):
    """Up to ``atol`` pixels."""
    assert [len(found) for found in people] == [len(f) for f in others]
    for found, other in zip(chain(*people), chain(*others)):
        assert np.allclose(found.keypoints, other.keypoints, atol=atol)
        assert np.allclose(found.keypoint_scores, other.keypoint_scores, atol=atol / 100)
        assert np.allclose(found.bbox, other.bbox, atol=atol)
        assert abs(found.bbox_score - other.bbox_score) < atol / 100


def count_steps(monkeypatch, model):
    """Sizes of the batches that the model sees from now on."""
    sizes, step = [], model.test_step

    def test_step(data):
        sizes.append(len(data['inputs']))
        return step(data)

    monkeypatch.setattr(model, 'test_step', test_step)
    return sizes


@pytest.mark.parametrize('batch_size', [1, 2, 32])
def test_same_as_mmpose_one_by_one(model, paths, bboxes, batch_size, monkeypatch):
    expected = [
        [inference_topdown(model, path, box[None])[0].pred_instances for box in boxes]
        for path, boxes in zip(paths, bboxes)
    ]
    sizes = count_steps(monkeypatch, model)
    people = predict(model, paths, bboxes, batch_size=batch_size)
    assert sizes == {1: [1] * 4, 2: [2, 2], 32: [4]}[batch_size]

    assert [len(found) for found in people] == [3, 0, 1]
    for found, other in zip(chain(*people), chain(*expected)):
        assert np.allclose(found.keypoints, other.keypoints[0], atol=1e-3)
        assert np.allclose(found.keypoint_scores, other.keypoint_scores[0], atol=1e-5)
        assert (found.bbox == other.bboxes[0].astype(np.float32)).all()
    # the boxes matter
    first, second, *_ = people[0]
    assert abs(first.keypoints - second.keypoints).max() > 5


def test_types(model, paths):
    (person,), *_ = predict(model, paths)
    assert person.keypoints.shape == (17, 2)
    assert person.keypoint_scores.shape == (17,)
    assert person.keypoint_names[:2] == ('nose', 'left_eye')
    assert len(person.keypoint_names) == 17
    assert person.bbox.shape == (4,) and person.bbox_score == 1.0
    for array in (person.keypoints, person.keypoint_scores, person.bbox):
        assert array.dtype == np.float32


def test_paths_and_arrays(model, paths):
    arrays = [cv2.imread(path) for path in paths]
    people = predict(model, paths)
    assert_equal(predict(model, arrays), people)
    assert_equal(predict(model, [Path(paths[0]), *arrays[1:]]), people)
    assert_equal(predict(model, np.stack(arrays[:1] * 2)), people[:1] * 2)
    # the colours are in the order of cv2
    reversed = [array[..., ::-1] for array in arrays]
    with pytest.raises(AssertionError):
        assert_equal(predict(model, reversed), people)


def test_whole_images(model, paths, bboxes):
    people = predict(model, paths)
    assert [found[0].bbox.tolist() for found in people] == [
        [0, 0, 160, 120],
        [0, 0, 160, 110],
        [0, 0, 160, 100],
    ]
    mixed = predict(model, paths, [None, bboxes[1], bboxes[2]])
    assert_equal(mixed[:1], people[:1])
    assert_equal(mixed[2:], predict(model, paths[2:], bboxes[2:]))
    assert mixed[1] == []


def test_box_scores(model, paths, bboxes):
    boxes = np.concatenate((bboxes[0], [[0.9], [0.2], [0.5]]), axis=1)
    (everybody,) = predict(model, paths[:1], [boxes], score_thr=0)
    assert [p.bbox_score for p in everybody] == pytest.approx([0.9, 0.2, 0.5])
    for kwargs, kept in (({}, [0, 2]), (dict(score_thr=0.5), [0])):
        (found,) = predict(model, paths[:1], [boxes], **kwargs)
        assert_equal([found], [[everybody[i] for i in kept]])


def test_nothing(model, cascade, paths, bboxes, monkeypatch):
    sizes = count_steps(monkeypatch, model)
    assert predict(model, []) == predict(cascade, []) == []
    assert predict(model, paths, [[]] * 3) == [[], [], []]
    assert sizes == []


def test_cascade(cascade, paths, monkeypatch):
    monkeypatch.setitem(cascade.test_cfg, 'score_thr', 0.0)
    expected = [inference_bottomup(cascade, path)[0].pred_instances for path in paths]
    sizes = count_steps(monkeypatch, cascade)
    people = predict(cascade, paths, batch_size=1, score_thr=0)
    assert sizes == [1, 1, 1]
    for found, other in zip(people, expected):
        assert len(found) == len(other) > 0
        for i, person in enumerate(found):
            assert np.allclose(person.keypoints, other.keypoints[i])
            assert np.allclose(person.bbox, other.bboxes[i])
            assert person.bbox_score == pytest.approx(other.bbox_scores[i])
    predict(cascade, paths, batch_size=2)
    assert sizes[3:] == [2, 1]


def test_cascade_in_batches(cascade, paths):
    """Of one size; others are padded, which a border of the image sees."""
    images = [cv2.imread(path)[:100] for path in paths]
    people = predict(cascade, images, score_thr=0)
    alone = predict(cascade, images, batch_size=1, score_thr=0)
    assert_equal(alone, people, atol=2e-2)


def test_cascade_obeys_the_threshold(cascade, paths):
    before = dict(cascade.test_cfg)
    (everybody,) = predict(cascade, paths[:1], score_thr=0)
    scores = [person.bbox_score for person in everybody]
    assert len(scores) == before['max_persons']
    thr = sorted(scores)[len(scores) // 2]
    (found,) = predict(cascade, paths[:1], score_thr=thr)
    assert_equal([found], [[p for p in everybody if p.bbox_score > thr]])
    assert predict(cascade, paths, score_thr=1) == [[], [], []]
    # only for the call, and if it fails too
    with pytest.raises(FileNotFoundError):
        predict(cascade, ['nothing.jpg'], score_thr=1)
    assert cascade.test_cfg == before


@pytest.mark.parametrize(
    'name, joints, last',
    [
        ('td-prtr_res18_1xb32-1e_lspe-128x96', 14, 'head_top'),
        ('td-prtr_res50_4xb32-200e_mpii-256x256', 16, 'left_wrist'),
    ],
)
def test_other_joints(name, joints, last, paths):
    model = load_model(name, device='cpu', random_weights=True)
    for (person,) in predict(model, paths[:2]):
        assert person.keypoints.shape == (joints, 2)
        assert len(person.keypoint_names) == joints
        assert person.keypoint_names[-1] == last


def test_scope(model, paths):
    """After a detector of mmdet, say."""
    people = predict(model, paths)
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert_equal(predict(model, paths), people)
        assert DefaultScope.get_current_instance().scope_name == 'mmdet'


def test_a_single_image(model, paths):
    for image in (paths[0], Path(paths[0]), cv2.imread(paths[0])):
        with pytest.raises(TypeError, match='Put a single image into a list'):
            predict(model, image)


def test_bad_images(model, paths, tmp_path):
    text = tmp_path / 'text.jpg'
    text.write_text('no image')
    with pytest.raises(FileNotFoundError, match='nothing.jpg'):
        predict(model, [paths[0], 'nothing.jpg'])
    with pytest.raises(ValueError, match=r'images\[1\].*text.jpg" cannot be read as an image'):
        predict(model, [paths[0], str(text)])
    for shape in ((10, 10), (10, 10, 4), (0, 10, 3)):
        with pytest.raises(ValueError, match=r'images\[0\] must have shape'):
            predict(model, [np.zeros(shape, np.uint8)])
    with pytest.raises(TypeError, match=r'images\[1\] .* is a NoneType'):
        predict(model, [paths[0], None])


def test_images_of_another_dtype(model, paths):
    """What has one meaning is read, the rest is refused by its name."""
    image = cv2.imread(paths[0])
    people = predict(model, [image])
    for same in (image / 255, np.float16(image / 255), np.float32(image), image.astype(np.int64)):
        assert_equal(predict(model, [same]), people)
    assert_equal(predict(model, [image > 127]), predict(model, [(image > 127) * np.uint8(255)]))
    for other in (
        image.astype(np.uint16) * 257,
        image / 127.5 - 1,
        image / 2.5,
        np.full((4, 4, 3), np.nan),
        image.astype(np.int64) - 1,
        image.astype(str),
        image.astype(complex),
    ):
        with pytest.raises(ValueError, match=r'images\[1\] must be of dtype uint8 .*astype'):
            predict(model, [image, other])


def test_bad_boxes(model, cascade, paths):
    with pytest.raises(ValueError, match='finds the people itself'):
        predict(cascade, paths[:1], [[[0, 0, 9, 9]]])
    with pytest.raises(ValueError, match='3 images, but has 1'):
        predict(model, paths, [[[0, 0, 9, 9]]])
    with pytest.raises(ValueError, match=r'bboxes\[0\].*but has \(4,\)'):
        predict(model, paths[:1], [[0, 0, 9, 9]])
    inf = np.inf
    for wrong in ([9, 0, 9, 9], [0, 9, 9, 8], [0, 0, 9, np.nan], [0, 0, inf, 9], [-inf, 0, 9, 9]):
        with pytest.raises(ValueError, match=r'bboxes\[0\] must have numbers with x1 <'):
            predict(model, paths[:1], [[[0, 0, 5, 5], wrong]])
    for outside in ([-9, 0, 0, 9], [160, 0, 170, 9], [0, 120, 9, 130], [0, -9, 9, -1]):
        with pytest.raises(ValueError, match=r'bboxes\[0\] must overlap the image of 160x120'):
            predict(model, paths[:1], [[outside]])
    for score in (np.nan, inf):
        with pytest.raises(ValueError, match=r'bboxes\[0\] must have finite scores'):
            predict(model, paths[:1], [[[0, 0, 5, 5, score]]])
    for words in ([['a'] * 4], [[0, 0, 9, 9], [0]]):
        with pytest.raises(ValueError, match=r'bboxes\[0\] must be an array of numbers'):
            predict(model, paths[:1], [words])
    with pytest.raises(ValueError, match='batch_size must be at least 1'):
        predict(model, paths, batch_size=0)


@pytest.mark.parametrize('name', ['model', pytest.param('cascade', marks=pytest.mark.slow)])
def test_odd_pictures(name, odd_pictures, request):
    model = request.getfixturevalue(name)
    check_odd_pictures(lambda path: predict(model, [path]), odd_pictures)
    assert predict(model, [odd_pictures / '1x1.png']) != []
    # turned, and with the same colours as in 8 bits
    plain, turned, deep = (
        load_image(odd_pictures / name, 0)
        for name in ('plain.png', 'exif_rotated.jpg', '16bit.png')
    )
    assert turned.shape == (64, 48, 3) and abs(deep - plain.astype(int)).max() <= 1


def test_errors_of_single_images(model, cascade, paths):
    """The others are predicted, and a warning says which ones were not."""
    images = [paths[0], 'nothing.jpg', paths[1], np.zeros((2, 2)), None]
    boxes = [None, None, [[0, 0, 9, 9], [9, 9, 0, 0]], None, None]
    with pytest.warns(UserWarning) as warned:
        people = predict(model, images, boxes, on_error='skip')
    assert [len(found) for found in people] == [1, 0, 0, 0, 0]
    assert_equal(people[:1], predict(model, paths[:1]))
    messages = [str(w.message) for w in warned if str(w.message).startswith('Skipped: ')]
    for message, word in zip(messages, ('nothing.jpg', 'bboxes[2]', 'images[3]', 'images[4]')):
        assert word in message
    assert len(messages) == 4
    with pytest.warns(UserWarning, match=r'images\[0\] has 1x5000 pixels, .* too thin'):
        assert predict(cascade, [np.zeros((5000, 1, 3), np.uint8)], on_error='skip') == [[]]
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip'"):
        predict(model, paths, on_error='ignore')


def test_nothing_is_fetched(model, paths, monkeypatch):
    """Unless it is asked for; the fixture ``no_network`` would notice."""
    url = 'https://example.org/a.jpg'
    with pytest.raises(ValueError, match=rf'images\[1\]: "{url}" is a URL.*allow_urls'):
        predict(model, [paths[0], url])
    content = Path(paths[0]).read_bytes()
    monkeypatch.setattr('mmengine.fileio.get', {url: content}.get)
    assert_equal(predict(model, [url], allow_urls=True), predict(model, paths[:1]))


def test_folder_and_pattern(model, paths, tmp_path):
    expected = predict(model, paths)
    folder = Path(paths[0]).parent
    for images in (folder, str(folder), folder / '*.png', f'{folder}/**/[0-9].png'):
        assert_equal(predict(model, images), expected)
    (tmp_path / 'a[b]').mkdir()
    for empty in (tmp_path / 'a[b]', tmp_path / '*.jpg'):
        with pytest.raises(FileNotFoundError, match='There are no images in'):
            predict(model, empty)
    # what is no image is not of the folder, but of the pattern
    shutil.copy(paths[0], tmp_path / 'a[b]' / 'b.png')
    for name in ('notes.txt', '.hidden.png'):
        (tmp_path / 'a[b]' / name).touch()
    assert find_images(tmp_path / 'a[b]') == [str(tmp_path / 'a[b]' / 'b.png')]
    with pytest.raises(ValueError, match='notes.txt" cannot be read'):
        predict(model, tmp_path / '*' / '*')


def test_arguments(model, paths):
    for score_thr in (-0.1, 30, np.nan):
        with pytest.raises(ValueError, match='score_thr must be a score from 0 to 1'):
            predict(model, paths, score_thr=score_thr)
    with pytest.raises(TypeError, match="model must be a model, but is 'td-prtr.*load_model"):
        predict('td-prtr', paths)
    with pytest.raises(TypeError, match='Put a single image into a list'):
        predict(model, (path for path in paths))


def test_results_are_of_the_image(model, paths, monkeypatch):
    """Not the other way round: each image keeps its own."""
    alone = [predict(model, [path])[0] for path in paths]
    assert_equal(predict(model, paths[::-1], batch_size=2), alone[::-1])
