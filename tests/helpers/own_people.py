"""A small dataset of one's own: people with five joints, in the layouts of label tools."""

import json
import shutil
from pathlib import Path

from prtr_plugin.datasets import generate_people

JOINTS = ['nose', 'left_wrist', 'right_wrist', 'left_ankle', 'right_ankle']
LINKS = [[1, 2], [1, 3], [2, 4], [3, 5]]


def write_people(folder: Path, num_images: int = 30, size=(160, 120), seed: int = 1) -> Path:
    """Pictures of up to two people each: ``images/`` and ``annotations/labels.json``.

    The seed is not that of the synthetic people that other models are trained on.
    """
    made = folder.with_name(f'{folder.name}-made')
    generate_people(made, num_train=num_images, num_val=1, max_people=2, image_size=size, seed=seed)
    content = json.loads((made / 'annotations/person_keypoints_train2017.json').read_text())
    (category,) = content['categories']
    kept = [category['keypoints'].index(name) for name in JOINTS]
    for person in content['annotations']:
        points = person['keypoints']
        person['keypoints'] = [x for k in kept for x in points[3 * k : 3 * k + 3]]
        person['num_keypoints'] = sum(v > 0 for v in person['keypoints'][2::3])
    category.update(keypoints=JOINTS, skeleton=LINKS)
    (made / 'train2017').rename(_folder(folder) / 'images')
    write_json(folder / 'annotations/labels.json', content)
    shutil.rmtree(made)
    return folder


def write_json(path: Path, content: dict) -> None:
    """Write a file and its folder."""
    _folder(path.parent)
    path.write_text(json.dumps(content))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
