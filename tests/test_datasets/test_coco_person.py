"""Nobody gets lost between an annotation file and the model."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmpose.datasets import CocoDataset

from prtr_plugin.datasets import CocoPersonDataset
from prtr_plugin.models.estimators.cascade_data import split_ground_truth

K, W, H = 17, 64, 48
KINDS = {
    'labelled': {},
    'hidden': dict(keypoints=[0] * 3 * K, num_keypoints=0),
    'boxed': dict(keypoints=None, num_keypoints=None, segmentation=None),
    'crowd': dict(
        iscrowd=1,
        keypoints=[0] * 3 * K,
        num_keypoints=0,
        segmentation=dict(counts=[1, 3071], size=[H, W]),
    ),
    'empty box': dict(bbox=[5, 5, 0, 30]),
    'no box': dict(bbox=None),
}
# image by image; all orders that the parent class could depend on
IMAGES = [
    ['labelled', 'hidden', 'boxed', 'crowd'],
    ['crowd', 'boxed', 'labelled'],
    ['boxed'],
    ['crowd', 'crowd'],
    [],
    ['hidden', 'empty box'],
    ['no box'],
    [],
]
PIPELINE = [dict(type='LoadImage'), dict(type='PackPersonInputs')]

pytestmark = pytest.mark.usefixtures('mmpose_scope')


def annotation(number, image_id, kind):
    rng = np.random.default_rng(number)
    x, y = rng.integers(0, 20, 2).tolist()
    points = np.full((K, 3), 2)
    points[:, :2] = rng.integers(5, 40, (K, 2))
    ann = dict(
        id=number,
        image_id=image_id,
        category_id=1,
        bbox=[x, y, 20, 25],
        keypoints=points.ravel().tolist(),
        num_keypoints=K,
        iscrowd=0,
        area=300,
        segmentation=[[x, y, x + 9, y, x, y + 9]],
    )
    ann.update(KINDS[kind])
    return {key: value for key, value in ann.items() if value is not None}


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    """(folder, content of its annotation file)."""
    folder = tmp_path_factory.mktemp('people')
    images, anns = [], []
    for i, kinds in enumerate(IMAGES):
        image_id = 10 * i + 3
        name = f'{image_id}.png'
        cv2.imwrite(str(folder / name), np.full((H, W, 3), i, np.uint8))
        images.append(dict(id=image_id, width=W, height=H, file_name=name))
        anns += [annotation(len(anns) + j, image_id, kind) for j, kind in enumerate(kinds, 1)]
    data = dict(images=images, annotations=anns, categories=[dict(id=1, name='person')])
    (folder / 'ann.json').write_text(json.dumps(data))
    return folder, data


def build(folder, cls=CocoPersonDataset, **kwargs):
    return cls(
        ann_file='ann.json',
        data_root=str(folder),
        data_prefix=dict(img=''),
        pipeline=PIPELINE,
        **kwargs,
    )


def samples(dataset):
    found = {}
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        assert sample.img_id not in found
        found[sample.img_id] = sample
    return found


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('filter_empty_gt', [False, True])
def test_keeps_everybody(content, test_mode, filter_empty_gt):
    """Against a plain reading of the file."""
    folder, data = content
    found = samples(
        build(folder, test_mode=test_mode, filter_cfg=dict(filter_empty_gt=filter_empty_gt))
    )
    for image in data['images']:
        anns = [a for a in data['annotations'] if a['image_id'] == image['id'] and 'bbox' in a]
        if not anns and filter_empty_gt and not test_mode:
            assert image['id'] not in found
            continue
        labels = found.pop(image['id']).gt_instance_labels
        if not anns:
            assert not labels.keys()
            continue
        x, y, w, h = np.array([a['bbox'] for a in anns]).T
        np.testing.assert_array_equal(labels.bboxes, np.stack((x, y, x + w, y + h), axis=1))
        points = np.array([a.get('keypoints', [0] * 3 * K) for a in anns]).reshape(-1, K, 3)
        np.testing.assert_array_equal(labels.keypoints, points[..., :2])
        np.testing.assert_array_equal(labels.keypoints_visible, points[..., 2] > 0)
        assert labels.iscrowd.tolist() == [a['iscrowd'] for a in anns]
    assert not found


def test_what_the_model_sees(content):
    """People teach boxes, crowds are apart, boxes without area are left."""
    folder, data = content
    found = samples(build(folder))
    for image, kinds in zip(data['images'], IMAGES):
        people, crowds = split_ground_truth(found[image['id']], K, 'cpu')
        assert len(crowds) == kinds.count('crowd')
        assert len(people) == sum(kinds.count(kind) for kind in ('labelled', 'hidden', 'boxed'))
        labelled = (people.keypoints_visible > 0).any(dim=1).sum()
        assert labelled == kinds.count('labelled')


def test_what_the_parent_class_loses(content):
    """If this changes, the subclass may be no longer needed."""
    folder, data = content
    ids = [image['id'] for image in data['images']]
    dataset = build(folder, CocoDataset, data_mode='bottomup', lazy_init=True)
    instances, images = dataset._load_annotations()
    assert len(images) == len(ids)
    assert len(instances) == sum(
        kind not in ('boxed', 'no box') for kinds in IMAGES for kind in kinds
    )
    kept = dataset._get_bottomup_data_infos([dict(i, segmentation=None) for i in instances], images)
    assert [info['img_id'] for info in kept] == [
        i for i, kinds in zip(ids, IMAGES) if set(kinds) - {'boxed', 'no box'}
    ]


def test_wrong_arguments(content):
    with pytest.raises(ValueError, match="data_mode='topdown'"):
        build(content[0], data_mode='topdown')
    with pytest.raises(ValueError, match="unknown keys.*'min_size'"):
        build(content[0], filter_cfg=dict(min_size=1))


def test_other_joints(content):
    """People without the field get as many joints as the others."""
    folder, data = content
    anns = [dict(a) for a in data['annotations']]
    for ann in anns:
        if 'keypoints' in ann:
            ann['keypoints'] = ann['keypoints'][: 3 * 14]
    (folder / 'fewer.json').write_text(json.dumps(dict(data, annotations=anns)))
    dataset = CocoPersonDataset(
        ann_file='fewer.json',
        data_root=str(folder),
        data_prefix=dict(img=''),
        metainfo=dict(
            dataset_name='fewer',
            paper_info={},
            keypoint_info={
                i: dict(name=f'{i}', id=i, color=[0, 0, 0], type='', swap='') for i in range(14)
            },
            skeleton_info={},
            joint_weights=[1.0] * 14,
            sigmas=[0.05] * 14,
        ),
        pipeline=PIPELINE,
    )
    labels = dataset[0]['data_samples'].gt_instance_labels
    assert labels.keypoints.shape == torch.Size([4, 14, 2])


@pytest.mark.parametrize('categories, expected', [([21], 21), ([0], 0), ([1, 2], None)])
def test_category_of_the_file(content, categories, expected):
    """Every image, those without people included, tells CocoMetric its number."""
    folder, data = content
    anns = [
        dict(ann, category_id=categories[i % len(categories)])
        for i, ann in enumerate(data['annotations'])
    ]
    cats = [dict(id=i, name=f'{i}') for i in categories]
    (folder / 'other.json').write_text(json.dumps(dict(data, annotations=anns, categories=cats)))
    dataset = CocoPersonDataset(
        ann_file='other.json',
        data_root=str(folder),
        data_prefix=dict(img=''),
        pipeline=PIPELINE,
        test_mode=True,
    )
    assert len(dataset) == len(IMAGES)
    for sample in samples(dataset).values():
        assert sample.get('category_id') == expected


@pytest.mark.parametrize('number, people', [(0, True), (4, False)])
def test_wrong_size_in_the_file(content, number, people):
    folder, data = content
    images = [dict(image) for image in data['images']]
    images[number]['width'] = 100
    (folder / 'sizes.json').write_text(json.dumps(dict(data, images=images)))
    dataset = CocoPersonDataset(
        ann_file='sizes.json', data_root=str(folder), data_prefix=dict(img=''), pipeline=PIPELINE
    )
    wrong = [i for i in range(len(dataset)) if dataset.get_data_info(i)['ann_shape'] != (H, W)]
    (index,) = wrong
    assert ('bbox' in dataset.get_data_info(index)) == people
    with pytest.raises(ValueError, match=r'\.png is 64 wide and 48 high.*width=100 and height=48'):
        dataset[index]


def test_nan_where_nothing_is_labelled(content):
    """It is an unlabelled joint, as in crops; where it is labelled it is an error."""
    folder, data = content
    anns = [json.loads(json.dumps(ann)) for ann in data['annotations']]
    for ann in anns:
        if ann.get('num_keypoints') == K:
            ann['keypoints'][:3] = [float('nan'), float('nan'), 0]
    (folder / 'nan.json').write_text(json.dumps(dict(data, annotations=anns)))
    dataset = CocoPersonDataset(
        ann_file='nan.json', data_root=str(folder), data_prefix=dict(img=''), pipeline=PIPELINE
    )
    sample = dataset[0]['data_samples']
    assert sample.gt_instance_labels.keypoints.isnan().any()
    people, _ = split_ground_truth(sample, K, 'cpu')
    assert people.keypoints.isfinite().all()
    assert (people.keypoints_visible > 0).sum() == K - 1
    sample.gt_instance_labels.keypoints_visible[:] = 1
    with pytest.raises(ValueError, match='NaN or infinite keypoints'):
        split_ground_truth(sample, K, 'cpu')
