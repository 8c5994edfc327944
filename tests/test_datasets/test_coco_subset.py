"""Picking a few well-labelled people from a COCO annotation file."""

import json

import pytest
from xtcocotools.coco import COCO

from prtr_plugin.datasets import write_coco_subset


def person(id, image_id, labelled, iscrowd=0):
    return dict(
        id=id,
        image_id=image_id,
        category_id=1,
        iscrowd=iscrowd,
        area=100.0,
        bbox=[0, 0, 10, 10],
        num_keypoints=labelled,
        keypoints=[5, 5, 2] * labelled + [0, 0, 0] * (17 - labelled),
    )


@pytest.fixture
def source(tmp_path):
    """Ten images: a good and a poor person each, one crowd."""
    people = [
        person(10 * i + n, i, labelled)
        for i in range(1, 11)
        for n, labelled in ((1, 17 - i), (2, 3))
    ]
    people.append(person(999, 1, 17, iscrowd=1))
    path = tmp_path / 'in.json'
    path.write_text(
        json.dumps(
            dict(
                info=dict(description='test'),
                images=[
                    dict(id=i, file_name=f'{i}.jpg', width=20, height=20) for i in range(1, 11)
                ],
                annotations=people,
                categories=[dict(id=1, name='person')],
            )
        )
    )
    return path


def test_people(source, tmp_path):
    out = tmp_path / 'new' / 'out.json'
    subset = write_coco_subset(source, out, num_people=3, min_keypoints=12)
    assert json.loads(out.read_text()) == subset
    coco = COCO(str(out))
    assert len(coco.anns) == 3
    assert {a['image_id'] for a in coco.anns.values()} == set(coco.imgs)
    assert all(a['num_keypoints'] >= 12 and not a['iscrowd'] for a in coco.anns.values())
    assert coco.dataset['categories'] == [dict(id=1, name='person')]
    assert [p.name for p in out.parent.iterdir()] == ['out.json']


def test_whole_images(source, tmp_path):
    subset = write_coco_subset(source, tmp_path / 'out.json', num_images=5)
    # Only images 1 to 5 hold a person with twelve joints.
    assert [image['id'] for image in subset['images']] == [1, 2, 3, 4, 5]
    assert len(subset['annotations']) == 11


def test_deterministic(source, tmp_path):
    picked = {}
    for name, seed in (('a', 0), ('b', 0), ('c', 1), ('d', 2)):
        write_coco_subset(source, tmp_path / name, num_people=4, min_keypoints=8, seed=seed)
        picked[name] = (tmp_path / name).read_bytes()
    assert picked['a'] == picked['b']
    assert len(set(picked.values())) > 1


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(num_people=6), 'only 5 people with at least 12 labelled joints, but num_people is 6'),
        (dict(num_images=7), 'only 5 images with a person .* but num_images is 7'),
        (dict(num_people=0), 'num_people must be at least 1, but got 0'),
        (dict(num_images=-1), 'num_images must be at least 1, but got -1'),
    ],
)
def test_too_few(source, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_coco_subset(source, tmp_path / 'out.json', **options)
    assert not (tmp_path / 'out.json').exists()


@pytest.mark.parametrize('text', ['{"images": []}', 'not json', '[]', '{"images": [1]}'])
def test_bad_file(tmp_path, text):
    path = tmp_path / 'in.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='in.json is not a COCO keypoint annotation file'):
        write_coco_subset(path, tmp_path / 'out.json')


def test_people_without_numbers(source, tmp_path):
    """They can be found by their pictures only."""
    content = json.loads(source.read_text())
    for entry in content['annotations']:
        del entry['id']
    content['images'][0]['file_name'] = 'Müller.jpg'
    source.write_bytes(json.dumps(content, ensure_ascii=False).encode())
    with pytest.raises(ValueError, match="not a COCO keypoint annotation file: KeyError: 'id'"):
        write_coco_subset(source, tmp_path / 'out.json', num_people=2)
    written = write_coco_subset(source, tmp_path / 'out.json', num_images=5)
    assert len(written['images']) == 5
    content['images'] = content['images'][:1]
    source.write_bytes(json.dumps(content, ensure_ascii=False).encode())
    written = write_coco_subset(source, tmp_path / 'b.json', num_images=1)
    assert written['images'][0]['file_name'] == 'Müller.jpg'
