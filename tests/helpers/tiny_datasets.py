"""Made-up people in the formats of several datasets, on noise.

Every function writes a folder that mmpose's dataset class of that name reads:
two images for training and two for validation with two people each, who have
one unlabelled joint.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

WIDTH, HEIGHT = 160, 120
# [x, y, w, h] of the two people of an image, and of their heads
BOXES = ([10, 10, 60, 100], [90, 15, 50, 90])
HEADS = ([30, 10, 12, 14], [105, 15, 10, 12])


def _write_image(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(str(path), image)


def _write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _joints(rng: np.random.Generator, num: int, box: list) -> list:
    """[x, y, v, ...] of joints in a box; the last one is not labelled."""
    x, y, w, h = box
    joints = np.empty((num, 3))
    joints[:, :2] = rng.uniform((x, y), (x + w, y + h), (num, 2)).round(2)
    joints[:, 2] = 2
    joints[-1] = 0
    return joints.flatten().tolist()


def _write_coco_style(root: Path, files: dict, num_keypoints: int, extra) -> None:
    """Write annotation files in COCO's layout.

    Args:
        root (Path): The folder.
        files (dict): Annotation file to image folder.
        num_keypoints (int): Length of ``keypoints``.
        extra (Callable): From ``(rng, box)`` to more fields of a person.
    """
    rng = np.random.default_rng(0)
    number = 0
    for file, folder in files.items():
        images, people = [], []
        for _ in range(2):
            number += 1
            name = f'{number:012}.jpg'
            _write_image(root / folder / name, rng)
            images.append(
                dict(id=number, file_name=name, width=WIDTH, height=HEIGHT, crowdIndex=0.4)
            )
            for i, box in enumerate(BOXES):
                people.append(
                    dict(
                        id=10 * number + i,
                        image_id=number,
                        category_id=1,
                        bbox=box,
                        area=box[2] * box[3],
                        iscrowd=0,
                        segmentation=[],
                        keypoints=_joints(rng, num_keypoints, box),
                        num_keypoints=num_keypoints - 1,
                        **extra(rng, box),
                    )
                )
        _write_json(
            root / 'annotations' / file,
            dict(images=images, annotations=people, categories=[dict(id=1, name='person')]),
        )


def write_coco(root: Path) -> None:
    """COCO: 17 joints."""
    _write_coco_style(
        root,
        {f'person_keypoints_{split}2017.json': f'{split}2017' for split in ('train', 'val')},
        17,
        lambda rng, box: {},
    )


def write_crowdpose(root: Path) -> None:
    """CrowdPose: 14 joints."""
    _write_coco_style(
        root,
        {f'mmpose_crowdpose_{split}.json': 'images' for split in ('trainval', 'test')},
        14,
        lambda rng, box: {},
    )


def write_coco_wholebody(root: Path) -> None:
    """COCO-WholeBody: 133 joints, 21 of each hand among them."""

    def extra(rng, box):
        x, y, w, h = box
        fields = dict(foot_kpts=_joints(rng, 6, box), foot_valid=True)
        parts = dict(
            face=(68, [x + w // 3, y, 16, 20]),
            lefthand=(21, [x, y + h // 2, 14, 14]),
            righthand=(21, [x + w - 14, y + h // 2, 14, 14]),
        )
        for part, (num, part_box) in parts.items():
            fields[f'{part}_box'] = part_box
            fields[f'{part}_kpts'] = _joints(rng, num, part_box)
            fields[f'{part}_valid'] = True
        return fields

    _write_coco_style(
        root,
        {f'coco_wholebody_{split}_v1.0.json': f'{split}2017' for split in ('train', 'val')},
        17,
        extra,
    )


def write_mpii(root: Path) -> None:
    """MPII: 16 joints, and the heads that PCKh is measured in."""
    rng = np.random.default_rng(1)
    heads = []
    for i, split in enumerate(('train', 'val')):
        people = []
        for number in range(2):
            name = f'{1 + 2 * i + number:09}.jpg'
            _write_image(root / 'images' / name, rng)
            for box, head in zip(BOXES, HEADS):
                x, y, w, h = box
                joints = np.reshape(_joints(rng, 16, box), (16, 3))
                people.append(
                    dict(
                        image=name,
                        center=[x + w / 2, y + h / 2],
                        scale=h / 200,
                        joints=joints[:, :2].tolist(),
                        joints_vis=(joints[:, 2] > 0).astype(int).tolist(),
                    )
                )
                x, y, w, h = head
                heads.append([[x, y], [x + w, y + h]])
        _write_json(root / 'annotations' / f'mpii_{split}.json', people)
    # (corner, coordinate, person) of the validation images
    heads = np.array(heads[len(heads) // 2 :], dtype=float).transpose(1, 2, 0)
    jnt_missing = np.zeros((16, heads.shape[-1]))
    positions = np.zeros((16, 2, heads.shape[-1]))
    savemat(
        str(root / 'annotations' / 'mpii_gt_val.mat'),
        dict(headboxes_src=heads, jnt_missing=jnt_missing, pos_gt_src=positions),
    )
