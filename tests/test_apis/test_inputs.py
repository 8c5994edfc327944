"""From images and datasets to what a model takes."""

import json
from types import SimpleNamespace

import pytest

from prtr_plugin.apis import load_config, load_model
from prtr_plugin.apis.inputs import (
    batch_of_dataset,
    batch_of_images,
    build_dataset,
    build_test_dataloader,
)


@pytest.fixture(scope='module')
def model(small_config, quick_options):
    return load_model(small_config, device='cpu', random_weights=True, cfg_options=quick_options)


@pytest.fixture
def image(synthetic_people):
    return str(next((synthetic_people / 'val2017').iterdir()))


def test_box_of_an_image(model, image):
    """What the model sees is the padded box, or else the whole image."""
    for bboxes, center in ((None, [80, 60]), ([[[10, 20, 50, 80]]], [30, 50])):
        batch = batch_of_images(model, [image], bboxes)
        (sample,) = batch['data_samples']
        assert sample.input_center.tolist() == center
        assert sample.img_path == image
        assert batch['inputs'][0].shape == (3, 128, 96)


def test_bad_images_and_boxes(model, image, tmp_path):
    with pytest.raises(FileNotFoundError, match='no.jpg'):
        batch_of_images(model, [tmp_path / 'no.jpg'])
    (tmp_path / 'text.jpg').write_text('no image')
    with pytest.raises(ValueError, match='text.jpg" cannot be read as an image'):
        batch_of_images(model, [tmp_path / 'text.jpg'])
    # as x, y, width, height
    with pytest.raises(ValueError, match='x1 < x2 and y1 < y2'):
        batch_of_images(model, [image], [[[80, 20, 40, 60]]])


def test_entries_of_the_test_set(model):
    """The first, the last and what lies between, none of them twice."""
    everybody = batch_of_dataset(model, 99)['data_samples']
    two = batch_of_dataset(model, 2)['data_samples']
    ids = [sample.id for sample in everybody]
    assert len(ids) == len(set(ids)) > 2
    assert [sample.id for sample in two] == [ids[0], ids[-1]]
    loaded = [s.id for batch in build_test_dataloader(model) for s in batch['data_samples']]
    assert loaded == ids


def test_splits(model):
    """Training images go through the test pipeline."""
    config = model.cfg.to_dict()
    dataset = build_dataset(model, 'train')
    assert 'train2017' in dataset.get_data_info(0)['img_path']
    names = [type(transform).__name__ for transform in dataset.pipeline.transforms]
    assert names == [t['type'] for t in model.cfg.test_dataloader.dataset.pipeline]
    assert dataset.test_mode
    assert model.cfg.to_dict() == config


def test_people_of_the_annotations(small_config, quick_options, synthetic_people, tmp_path):
    """Detections have no joints that anything could be compared with."""
    file = synthetic_people / 'annotations/person_keypoints_val2017.json'
    found = [
        dict(image_id=person['image_id'], category_id=1, bbox=person['bbox'], score=0.9)
        for person in json.loads(file.read_text())['annotations']
    ]
    (tmp_path / 'boxes.json').write_text(json.dumps(found))
    name = 'test_dataloader.dataset.bbox_file'
    cfg = load_config(small_config, {**quick_options, name: str(tmp_path / 'boxes.json')})
    model = SimpleNamespace(cfg=cfg)
    for person in build_dataset(model):
        assert (person['data_samples'].gt_instances.keypoints[0] != 0).any()
    for batch in build_test_dataloader(model):
        assert all((s.gt_instances.keypoints != 0).any() for s in batch['data_samples'])
    assert cfg.test_dataloader.dataset.bbox_file
    # of a submission, which has nothing to compare with
    cfg.test_evaluator.format_only = True
    assert build_test_dataloader(model).dataset.bbox_file
