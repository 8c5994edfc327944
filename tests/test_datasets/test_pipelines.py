import pytest
from mmengine.config import Config

from prtr_plugin.datasets import topdown_pipelines

CODEC = dict(type='HungarianKeypointCodec', input_size=(48, 64), num_keypoints=17)
LOAD = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.25)]
FLIP = dict(type='RandomFlip', direction='horizontal')
BOXES = dict(
    type='RandomBBoxClippedNormal',
    shift_prob=0,
    scale_factor=(0.7, 1.3),
    rotate_factor=40,
    rotate_prob=0.6,
)
CROP = dict(type='TopdownAffine', input_size=(48, 64))
ENCODE = dict(type='GenerateTarget', encoder=CODEC)
PACK = dict(type='PackPoseInputs')


def test_default_is_the_papers_augmentation():
    train, val = topdown_pipelines(CODEC)
    assert train == [*LOAD, FLIP, BOXES, CROP, ENCODE, PACK]
    assert val == [*LOAD, CROP, PACK]


def test_without_augmentation():
    train, val = topdown_pipelines(CODEC, flip=False, bbox_transform=None)
    assert train == [*LOAD, CROP, ENCODE, PACK]
    assert val == [*LOAD, CROP, PACK]


@pytest.mark.parametrize(
    'name, value',
    [
        ('scale_factor', (0.75, 1.25)),
        ('rotate_factor', 30),
        ('rotate_prob', 0.5),
        ('shift_prob', 0.3),
    ],
)
def test_numbers_of_the_boxes(name, value):
    train, val = topdown_pipelines(CODEC, **{name: value})
    assert train == [*LOAD, FLIP, {**BOXES, name: value}, CROP, ENCODE, PACK]
    assert val == [*LOAD, CROP, PACK]


def test_transform_of_the_boxes():
    train, _ = topdown_pipelines(CODEC, bbox_transform='RandomBBoxTransform')
    assert train[3] == {**BOXES, 'type': 'RandomBBoxTransform'}


def test_padding_is_the_same_in_training_and_testing():
    for pipeline in topdown_pipelines(CODEC, padding=1.5):
        assert pipeline[1] == dict(type='GetBBoxCenterScale', padding=1.5)


def test_codec_without_input_size():
    with pytest.raises(ValueError, match="'MyCodec'.*no input_size"):
        topdown_pipelines(dict(type='MyCodec'))


def test_in_a_config(small_config, tmp_path):
    """Only data is left of the function, and a saved config is complete."""
    path = tmp_path / 'larger.py'
    path.write_text(
        f'_base_ = {small_config!r}\n'
        'from prtr_plugin.datasets import topdown_pipelines\n'
        'codec = dict(_base_.codec, input_size=(192, 256))\n'
        'train_pipeline, val_pipeline = topdown_pipelines(codec)\n'
    )
    cfg = Config.fromfile(path)
    assert set(cfg.keys()) == set(Config.fromfile(small_config).keys())
    assert cfg.train_pipeline[4].input_size == (192, 256)
    assert cfg.train_pipeline[5].encoder == cfg.codec
    cfg.dump(tmp_path / 'saved.py')
    assert 'topdown_pipelines' not in (tmp_path / 'saved.py').read_text()
    assert Config.fromfile(tmp_path / 'saved.py').to_dict() == cfg.to_dict()
