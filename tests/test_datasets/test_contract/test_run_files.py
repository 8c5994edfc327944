"""What users see when files of a run, images or boxes are broken.

The datasets and transforms are mmpose's own; ``check_data_files`` runs ahead
of them where their errors are not plain.
"""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets import CocoDataset

from prtr_plugin.datasets import AnnotationError, check_data_files

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


BOX = dict(image_id=1, category_id=1, bbox=[5, 5, 20, 30], score=0.5)


def test_good_files_pass(folder):
    """Lists (MPII, boxes) and remote files as well."""
    write(folder, person())
    check_data_files(config(folder))
    (folder / 'list.json').write_text(json.dumps([BOX]))
    check_data_files(config(folder, bbox_file=str(folder / 'list.json')))
    mpii = config(folder, ann_file='list.json')
    mpii.train_dataloader.dataset.type = 'MpiiDataset'
    check_data_files(mpii)
    with pytest.raises(AnnotationError, match='list.json" is not a JSON object'):
        check_data_files(config(folder, ann_file='list.json'))
    check_data_files(config('s3://bucket'))
    check_data_files(Config(dict(val_dataloader=None)))


@pytest.mark.parametrize(
    'content, message',
    [
        ([], 'have no person: category_id=1'),
        ([dict(BOX, category_id=21)], 'have no person: category_id=1'),
        ({}, 'is not a JSON list of objects'),
        ([dict(BOX, image_id=9)], r'detections 0: image_id=9 is not an id in "images"'),
        ([dict(BOX, bbox=[1, 2, 3])], 'bbox=.* is not a list of four numbers'),
        ([dict(BOX, bbox=[1, 2, 3, float('nan')])], 'bbox=.* is NaN or infinite'),
        ([dict(BOX, bbox=[1, 2, 3, 0])], 'is not wider and higher than 1 pixel'),
        ([dict(BOX, bbox=[30, 20, 60, 46])] * 3, 'They seem to be'),
        ([dict(BOX, score='0.5')], 'score=0.5 is not a number from 0 to 1'),
        ([{}], 'category_id is not an integer'),
    ],
)
def test_bad_boxes(folder, content, message):
    write(folder, person())
    path = folder / 'boxes.json'
    path.write_text(json.dumps(content))
    cfg = config(folder, bbox_file=str(path))
    with pytest.raises(AnnotationError, match=f'bbox_file "{path}".*{message}'):
        check_data_files(cfg)


def test_pickled_boxes_are_not_read(folder):
    write(folder, person())
    (folder / 'boxes.pkl').write_bytes(b'whatever')
    with pytest.raises(AnnotationError, match=r'boxes\.pkl" is not a \.json file'):
        check_data_files(config(folder, bbox_file=str(folder / 'boxes.pkl')))


@pytest.mark.parametrize('wrapper', ['RepeatDataset', 'ConcatDataset', 'CombinedDataset', 'deep'])
def test_datasets_inside_of_datasets(folder, wrapper):
    write(folder, person(bbox=[5, 5, -20, 30]))
    inner = config(folder).train_dataloader.dataset
    outer = dict(type='RepeatDataset', times=2, dataset=inner)
    if wrapper != 'RepeatDataset':
        outer = dict(type=wrapper, datasets=[inner])
    if wrapper == 'deep':
        outer = dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', dataset=inner)])
    with pytest.raises(AnnotationError, match='annotations 7: bbox=.* has a negative size'):
        check_data_files(Config(dict(train_dataloader=dict(dataset=outer))))


def evaluated(folder, metric=None, **kwargs):
    data = config(folder, **kwargs).train_dataloader
    metric = dict(dict(type='CocoMetric', ann_file=str(folder / 'ann.json')), **(metric or {}))
    return Config(dict(test_dataloader=data, test_evaluator=metric))


def test_what_metrics_read(folder):
    nobody = person(id=8)
    del nobody['keypoints'], nobody['num_keypoints']
    write(folder, person(), nobody)
    check_data_files(config(folder))
    with pytest.raises(AnnotationError, match='annotations 8: keypoints is missing, and the metr'):
        check_data_files(evaluated(folder))
    check_data_files(evaluated(folder, dict(type='PersonBoxMetric')))
    check_data_files(evaluated(folder, dict(type='EPE', ann_file=None)))

    without = person()
    del without['area']
    write(folder, without)
    check_data_files(evaluated(folder, dict(use_area=False)))
    metrics = dict(type='MultiDatasetEvaluator', metrics=[dict(type='CocoMetric')], datasets=[])
    for cfg in (evaluated(folder), evaluated(folder, dict(ann_file=None))):
        with pytest.raises(AnnotationError, match='area is missing.*use_area=False'):
            check_data_files(cfg)
        cfg.test_evaluator = metrics
        with pytest.raises(AnnotationError, match='area is missing'):
            check_data_files(cfg)


def test_other_file_of_the_evaluator(folder):
    """It is checked like that of the dataset, and must have its pictures."""
    write(folder, person())
    content = json.loads((folder / 'ann.json').read_text())
    other = str(folder / 'other.json')
    cfg = evaluated(folder, dict(ann_file=other))
    with pytest.raises(FileNotFoundError, match=f'test_evaluator: ann_file "{other}"'):
        check_data_files(cfg)
    (folder / 'other.json').write_text(json.dumps(content))
    check_data_files(cfg)
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = 2
    (folder / 'other.json').write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=f'images 1: id=1 is not an id in .*"{other}"'):
        check_data_files(cfg)


def test_submission_needs_nobody(folder):
    write(folder)
    (folder / 'list.json').write_text(json.dumps([BOX]))
    cfg = evaluated(folder, dict(format_only=True), bbox_file=str(folder / 'list.json'))
    check_data_files(cfg)
    cfg.test_evaluator.format_only = False
    with pytest.raises(AnnotationError, match='no person with a box and a label'):
        check_data_files(cfg)


def test_warnings_come_once(folder):
    people = [person(id=i, num_keypoints=5) for i in (7, 8, 9)]
    write(folder, *people)
    with pytest.warns(UserWarning) as caught:
        check_data_files(config(folder))
    (text,) = [str(w.message) for w in caught if 'remarks' in str(w.message)]
    assert '4 remarks' in text and text.count('is not the number of labelled joints') == 1
    assert 'annotations 7: num_keypoints=5' in text and '(3 like this.)' in text


def test_pictures(folder):
    write(folder, person())
    (folder / 'a.jpg').unlink()
    cfg = config(folder)
    with pytest.raises(AnnotationError, match=f'file_name=a.jpg does not exist in {folder}'):
        check_data_files(cfg)
    cfg.check_pictures = False
    check_data_files(cfg)


def test_whole_body(folder):
    """Its joints are in several fields."""
    parts = dict(foot_kpts=6, face_kpts=68, lefthand_kpts=21, righthand_kpts=21)
    write(folder, person(segmentation=[], **{name: [0] * 3 * n for name, n in parts.items()}))
    cfg = config(folder)
    cfg.train_dataloader.dataset.type = 'CocoWholeBodyDataset'
    check_data_files(cfg)
    write(folder, person(segmentation=[], **{name: [0] * 3 for name in parts}))
    with pytest.raises(AnnotationError, match='face_kpts=.* is not a flat list of 204 numbers'):
        check_data_files(cfg)


def test_unknown_dataset(folder):
    """The registry complains later."""
    write(folder, person())
    cfg = config(folder)
    cfg.train_dataloader.dataset.type = 'NoSuchDataset'
    check_data_files(cfg)


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


def test_joints_of_combined_datasets(folder):
    write(folder, person())
    inner = config(folder).train_dataloader.dataset
    outer = dict(type='CombinedDataset', metainfo=dict(from_file='gone.py'), datasets=[inner])
    with pytest.raises(AnnotationError, match='train_dataloader", metainfo: from_file=gone.py'):
        check_data_files(Config(dict(train_dataloader=dict(dataset=outer))))


def test_crowdpose(folder):
    write(folder, person())
    cfg = evaluated(folder, dict(iou_type='keypoints_crowd', use_area=False))
    with pytest.raises(AnnotationError, match='crowdIndex is not a number'):
        check_data_files(cfg)
