"""What users see when annotation files, images or boxes are broken.

The datasets and transforms are mmpose's own; ``check_data_files`` runs ahead
of them where their errors are not plain.
"""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets import CocoDataset

from prtr_plugin.datasets import check_data_files

INPUT_SIZE = (96, 128)
CODEC = dict(type='HungarianKeypointCodec', input_size=INPUT_SIZE, num_keypoints=17)

pytestmark = pytest.mark.usefixtures('mmpose_scope')


def person(**kwargs):
    base = dict(
        id=7,
        image_id=1,
        category_id=1,
        bbox=[5, 5, 20, 30],
        keypoints=[10, 10, 2] * 17,
        num_keypoints=17,
        iscrowd=0,
        area=300,
    )
    return dict(base, **kwargs)


@pytest.fixture
def folder(tmp_path):
    """A data set of one image."""
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.full((48, 64, 3), 99, np.uint8))
    return tmp_path


def write(folder, *people):
    (folder / 'ann.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=1, width=64, height=48, file_name='a.jpg')],
                annotations=people,
                categories=[dict(id=1, name='person')],
            )
        )
    )


def dataset(folder, clip=True, **kwargs):
    """The whole pipeline of the two-stage configs."""
    pipeline = [
        dict(type='LoadImage'),
        dict(type='ClipBBoxInclusive'),
        dict(type='GetBBoxCenterScale'),
        dict(type='TopdownAffine', input_size=INPUT_SIZE),
        dict(type='GenerateTarget', encoder=CODEC),
        dict(type='PackPoseInputs'),
    ]
    if not clip:
        del pipeline[1]
    return CocoDataset(
        ann_file='ann.json',
        data_root=str(folder),
        data_prefix=dict(img=''),
        pipeline=pipeline,
        **kwargs,
    )


def config(folder, **kwargs):
    data = dict(type='CocoDataset', data_root=str(folder), **kwargs)
    data.setdefault('ann_file', 'ann.json')
    return Config(dict(train_dataloader=dict(dataset=data)))


def test_missing_annotation_file(folder):
    with pytest.raises(AssertionError, match='ann.json.*does not exist'):
        dataset(folder)
    with pytest.raises(FileNotFoundError, match='ann_file ".*ann.json".*root'):
        check_data_files(config(folder))


def test_missing_box_file(folder):
    write(folder, person())
    cfg = config(folder, bbox_file=str(folder / 'boxes.json'))
    with pytest.raises(FileNotFoundError, match='bbox_file ".*boxes.json"'):
        check_data_files(cfg)


@pytest.mark.parametrize('content', [b'', b'{"images": [', b'\xff\xd8\xff'])
def test_malformed_annotation_file(folder, content):
    (folder / 'ann.json').write_bytes(content)
    with pytest.raises(ValueError, match='ann.json" is not valid JSON'):
        check_data_files(config(folder))


def test_missing_section(folder):
    (folder / 'ann.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"lacks \['annotations', 'categ"):
        check_data_files(config(folder))


@pytest.mark.parametrize(
    'people',
    [
        [],
        [person(iscrowd=1)],
        [person(bbox=[5, 5, 0, 30])],
        [person(keypoints=[0] * 51, num_keypoints=0)],
        [dict(id=1)],
    ],
)
def test_nobody_to_learn_from(folder, people):
    write(folder, *people)
    with pytest.raises(ValueError, match='no person with a box and a label'):
        check_data_files(config(folder))


def test_good_files_pass(folder):
    """Wrapped datasets, lists (MPII, boxes) and remote files as well."""
    write(folder, person())
    check_data_files(config(folder))
    (folder / 'list.json').write_text('[]')
    check_data_files(config(folder, bbox_file=str(folder / 'list.json')))
    check_data_files(config(folder, ann_file='list.json'))
    check_data_files(config('s3://bucket'))
    check_data_files(Config(dict(val_dataloader=None)))


def test_wrapped_dataset(folder):
    inner = config(folder).train_dataloader.dataset
    cfg = Config(dict(val_dataloader=dict(dataset=dict(type='CombinedDataset', datasets=[inner]))))
    with pytest.raises(FileNotFoundError, match='val_dataloader: ann_file'):
        check_data_files(cfg)
    check_data_files(cfg, splits=('train',))


@pytest.mark.parametrize('content', [None, b'', b'no picture'])
def test_unreadable_image(folder, content):
    write(folder, person())
    (folder / 'a.jpg').unlink()
    if content is not None:
        (folder / 'a.jpg').write_bytes(content)
    with pytest.raises(
        (FileNotFoundError, AssertionError, cv2.error), match=r'(?s)loading `.*a\.jpg`'
    ):
        dataset(folder)[0]


def test_empty_box(folder):
    """mmpose drops it; a box of a pixel is refused by our transform."""
    write(folder, person(), person(id=8, bbox=[5, 5, 0, 30]))
    assert len(dataset(folder)) == 1
    write(folder, person(bbox=[5, 5, 1, 30]))
    with pytest.raises(ValueError, match=r'bbox=\[5, 5, 1, 30\].*id=7'):
        dataset(folder)[0]


def test_empty_detection(folder):
    """The crop is one point of the image: no numbers break."""
    write(folder, person())
    (folder / 'boxes.json').write_text(
        json.dumps([dict(image_id=1, category_id=1, bbox=[5, 5, 0, 0], score=0.9)])
    )
    sample = dataset(folder, bbox_file=str(folder / 'boxes.json'), test_mode=True)[0]
    assert sample['data_samples'].input_scale.tolist() == [0, 0]
    assert (sample['inputs'] == 99).all()
    assert np.isfinite(sample['data_samples'].gt_instance_labels.keypoint_labels).all()


def test_person_without_labelled_joint(folder):
    """mmpose leaves such a person out of the training data."""
    nobody = person(id=8, keypoints=[0] * 51, num_keypoints=0)
    write(folder, person(), nobody)
    assert len(dataset(folder)) == 1


def test_labels_with_visibility_zero_only(folder):
    """Coordinates without visibility: a sample whose joints weigh 0."""
    write(folder, person(keypoints=[10, 10, 0] * 17))
    labels = dataset(folder)[0]['data_samples'].gt_instance_labels
    assert (labels.keypoint_weights == 0).all()
    assert (labels.keypoint_labels == 0).all()


@pytest.mark.parametrize('clip', [True, False])
def test_other_number_of_joints(folder, clip):
    write(folder, person(keypoints=[10, 10, 2] * 14))
    with pytest.raises(ValueError, match='14 keypoints.*num_keypoints=17'):
        dataset(folder, clip)[0]
