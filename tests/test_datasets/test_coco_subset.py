"""Picking a few well-labelled people from a COCO annotation file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from xtcocotools.coco import COCO

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_tools' / 'coco_subset.py'


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


def run(*args):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)], capture_output=True, text=True
    )


def test_people(source, tmp_path):
    out = tmp_path / 'new' / 'out.json'
    done = run(source, out, '--num-people', 3, '--min-keypoints', 12)
    assert done.returncode == 0, done.stderr
    assert '3 people in 3 images' in done.stdout
    coco = COCO(str(out))
    assert len(coco.anns) == 3
    assert {a['image_id'] for a in coco.anns.values()} == set(coco.imgs)
    assert all(a['num_keypoints'] >= 12 and not a['iscrowd'] for a in coco.anns.values())
    assert coco.dataset['categories'] == [dict(id=1, name='person')]
    assert [p.name for p in out.parent.iterdir()] == ['out.json']


def test_whole_images(source, tmp_path):
    out = tmp_path / 'out.json'
    assert run(source, out, '--num-images', 5).returncode == 0
    coco = COCO(str(out))
    # Only images 1 to 5 hold a person with twelve joints.
    assert sorted(coco.imgs) == [1, 2, 3, 4, 5]
    assert len(coco.anns) == 11


def test_deterministic(source, tmp_path):
    picked = {}
    for name, seed in (('a', 0), ('b', 0), ('c', 1), ('d', 2)):
        assert (
            run(
                source, tmp_path / name, '--num-people', 4, '--min-keypoints', 8, '--seed', seed
            ).returncode
            == 0
        )
        picked[name] = (tmp_path / name).read_bytes()
    assert picked['a'] == picked['b']
    assert len(set(picked.values())) > 1


@pytest.mark.parametrize(
    'args, words',
    [
        (('--num-people', '6'), ('asked for 6 people', 'only 5')),
        (('--num-images', '7'), ('asked for 7 images', 'only 5')),
        (('--num-people', '0'), ('--num-people', 'at least 1')),
    ],
)
def test_too_few(source, tmp_path, args, words):
    done = run(source, tmp_path / 'out.json', *args)
    assert done.returncode != 0
    assert all(word in done.stderr for word in words)
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'out.json').exists()


@pytest.mark.parametrize(
    'text, words',
    [
        (None, 'cannot read'),
        ('{"images": []}', 'annotations'),
        ('not json', 'not a COCO keypoint annotation file'),
    ],
)
def test_bad_file(tmp_path, text, words):
    path = tmp_path / 'in.json'
    if text is not None:
        path.write_text(text)
    done = run(path, tmp_path / 'out.json')
    assert done.returncode != 0
    assert words in done.stderr and 'Traceback' not in done.stderr
