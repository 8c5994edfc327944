"""A user's own keypoint data, made ready for mmpose's datasets and metrics."""

import copy
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..fileio import write_file
from .contract import FileUse, Finding, check_annotations, raise_errors
from .contract.metainfo import compare_names
from .contract.pictures import displayed_size
from .joints import find_swaps, make_dataset_info, split_side
from .layouts import Split, check_training, find_files, read_split

# fields that follow from others, which some label tools leave out
MENDED = ('area', 'bbox', 'height', 'iscrowd', 'num_keypoints', 'width')


class Part(NamedTuple):
    """Training or validation data.

    Attributes:
        ann_file (Path): Annotation file with one category, number 1
        image_dir (Path): Folder of the pictures
        num_images (int): Number of pictures
        num_people (int): Number of people with a labelled joint
    """

    ann_file: Path
    image_dir: Path
    num_images: int
    num_people: int


class OwnData(NamedTuple):
    """A dataset that is ready for training.

    Attributes:
        name (str): Name of the dataset
        dataset_info (dict): mmpose's ``metainfo``
        flip (bool): Whether mirrored people are people of this dataset
        train (Part): Training data
        val (Part): Validation data
        notes (List[str]): What was decided or mended, in sentences
    """

    name: str
    dataset_info: dict
    flip: bool
    train: Part
    val: Part
    notes: list[str]


def prepare_data(
    data: str | Path,
    folder: str | Path,
    flip: bool | dict[str, str] | None = None,
    sigmas: float | Sequence[float] | None = None,
    seed: int = 0,
    split: bool = True,
) -> OwnData:
    """Find the annotations of a dataset and make them ready for training.

    Files that are ready already are used as they are. Otherwise copies are
    written into ``folder``: with one category, with ``bbox``, ``area``,
    ``num_keypoints``, ``iscrowd`` and picture sizes filled in where a label
    tool leaves them out, and split by picture if there is no validation file.

    Args:
        data (str | Path): See :func:`find_splits`
        folder (str | Path): Folder for annotation files
        flip (bool | Dict[str, str], optional): Whether people may be
            mirrored, or the joints that change places then. Defaults to None:
            yes if names of joints form pairs of left and right
        sigmas (float | Sequence[float], optional): See
            :func:`make_dataset_info`
        seed (int): Seed of the split. Defaults to 0
        split (bool): Whether there must be data to train on, which are split
            if there is no validation file. Otherwise validation data are
            enough, and both are the same. Defaults to ``True``

    Returns:
        OwnData: Files, joints and decisions.

    Raises:
        FileNotFoundError: See :func:`find_splits`.
        ValueError: See :func:`find_splits` and :func:`make_dataset_info`; also
            if nobody has a labelled joint, there is one picture only, or the
            joints of the files differ.
    """
    root, files = find_files(data)
    if split:
        check_training(data, files)
    val = next((role for role in ('val', 'test') if role in files), None)
    wanted = [role for role in ('train' if split or val is None else None, val) if role]
    splits = {role: read_split(files[role], root) for role in wanted}
    try:
        return _prepare(
            Path(data).expanduser().resolve(), splits, Path(folder), flip, sigmas, seed, split
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # the contract has the better sentence, if it is about the files
        for part in splits.values():
            raise_errors(unmended_findings(part))
        if isinstance(error, ValueError):
            raise
        raise ValueError(
            f'data "{data}" cannot be read as COCO keypoints ({type(error).__name__}: {error}). '
            'Export the labels again.'
        ) from error


def unmended_findings(split: Split, notes: list[str] | None = None) -> list[Finding]:
    """What is wrong with a file, apart from what :func:`prepare_data` fills in.

    Args:
        split (Split): The file
        notes (List[str], optional): Gets what would be mended, in sentences
    """
    notes = [] if notes is None else notes
    try:
        category = _keypoint_category(split, notes)
        mended = _mend(split, category['id'], category, notes)
    except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError):
        # names of pictures that were changed are not those of the file
        use = FileUse(img_dir=None if split.changed else str(split.image_dir))
        return [
            found
            for found in check_annotations(str(split.file), use)
            if found.field not in MENDED or 'missing' not in found.problem
        ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / split.file.name
        path.write_text(json.dumps(mended.content), encoding='utf-8')
        findings = check_annotations(str(path), FileUse(img_dir=str(split.image_dir)))
    return [replace(found, file=str(split.file)) for found in findings]


def joint_findings(splits: dict[str, Split]) -> list[Finding]:
    """Where the files of a dataset have other joints than the first one.

    Raises:
        ValueError: If the people of a file have no joints.
    """
    categories = {role: _keypoint_category(split, []) for role, split in splits.items()}
    # those without names have the order of the others, as far as one can know
    named = all(one in splits[role].content['categories'] for role, one in categories.items())
    first, *others = categories
    joints, file = categories[first]['keypoints'], splits[first].file
    findings = []
    for role in others:
        found = categories[role]['keypoints']
        if len(found) != len(joints):
            problem = f'are {len(found)} joints, but "{file}" has {len(joints)}'
        elif named and compare_names(found, joints) == 'other':
            i = next(
                i
                for i in range(len(joints))
                if compare_names(found[i : i + 1], joints[i : i + 1]) == 'other'
            )
            problem = f'have "{found[i]}" as joint {i + 1}, but "{file}" has "{joints[i]}"'
        else:
            continue
        remedy = 'Both need the same joints in the same order: export them from one project.'
        findings.append(
            Finding(
                str(splits[role].file),
                'categories',
                categories[role]['id'],
                'keypoints',
                found,
                problem,
                remedy,
            )
        )
    return findings


def _prepare(
    data: Path,
    splits: dict[str, Split],
    folder: Path,
    flip: bool | dict[str, str] | None,
    sigmas: float | Sequence[float] | None,
    seed: int,
    split_data: bool,
) -> OwnData:
    """See :func:`prepare_data`."""
    notes: list[str] = []
    categories = {role: _keypoint_category(split, notes) for role, split in splits.items()}
    category = next(iter(categories.values()))
    joints = category['keypoints']
    raise_errors(joint_findings(splits))
    if flip is None or flip is True:
        swaps = find_swaps(joints)
        # a side without its other side cannot be mirrored
        complete = all(split_side(joint)[0] == 'middle' or joint in swaps for joint in joints)
        flip = (bool(swaps) and complete) if flip is None else True
    else:
        swaps, flip = dict(flip or {}), bool(flip)
        swaps.update({b: a for a, b in swaps.items()})
    name = data.stem if data.is_file() else data.name
    links = [[a - 1, b - 1] for a, b in category.get('skeleton') or ()]
    info = make_dataset_info(name, joints, links, swaps, sigmas)

    mended = {
        role: _mend(split, categories[role]['id'], category, notes)
        for role, split in splits.items()
    }
    train, *rest = mended.values()
    val = rest[0] if rest else train
    if split_data and not rest:
        train, val = _split(train, seed)
        notes.append('split by picture, as there is no validation file')
    elif 'test' in mended:
        notes.append('the test file serves for validation')
    folder = folder.resolve() / 'annotations'
    train_part, val_part = _write(train, folder / 'train.json'), _write(val, folder / 'val.json')
    for part, role in ((train_part, 'train on'), (val_part, 'validate with')):
        if not part.num_people:
            raise ValueError(
                f'data "{data}" has nobody with a labelled joint to {role} among '
                f'{part.num_images} pictures: check "keypoints" (visibility above 0) and "bbox".'
            )
    return OwnData(name, info, flip, train_part, val_part, notes)


def _keypoint_category(split: Split, notes: list[str]) -> dict:
    """The category whose people are learned, with names for its joints."""
    file, content = split.file, split.content
    lengths = Counter(
        (person.get('category_id'), len(person['keypoints']) // 3)
        for person in content['annotations']
        if person.get('keypoints')
    )
    if not lengths:
        raise ValueError(
            f'"{file}" has no annotation with "keypoints". Export the labels as "COCO keypoints".'
        )
    used = {number for number, _ in lengths}
    named = [category for category in content['categories'] if category.get('keypoints')]
    found = [category for category in named if category['id'] in used] or named
    if not found:
        # some label tools leave the names out
        (number, length), _ = lengths.most_common(1)[0]
        found = [dict(id=number, keypoints=[f'joint_{i + 1}' for i in range(length)])]
        notes.append(f'"{file.name}" does not name its joints, so that no order can be compared')
    category = found[0]
    others = sum(n for (number, _), n in lengths.items() if number != category['id'])
    if others:
        notes.append(
            f'{others} annotations are not of the category "{category.get("name")}" and left out'
        )
    return category


def _mend(split: Split, number: int, category: dict, notes: list[str]) -> Split:
    """Fill in what label tools leave out; the same split if nothing is missing.

    Its people are those of the category with the number.
    """
    content = copy.deepcopy(split.content)
    length = 3 * len(category['keypoints'])
    people: list[dict] = []
    filled: Counter[str] = Counter()
    sizes: dict = {}
    for image in content['images']:
        if not image.get('width') or not image.get('height'):
            path = str(split.image_dir / image['file_name'])
            image['width'], image['height'] = displayed_size(path)
            filled['size'] += 1
        sizes[image['id']] = max(image['width'], image['height'])
    for person in content['annotations']:
        if person.get('category_id', number) != number:
            continue
        points = person.get('keypoints') or [0] * length
        if len(points) != length:
            raise ValueError(
                f'Annotation {person.get("id")} of "{split.file}" has {len(points)} numbers in '
                f'"keypoints", but {length // 3} joints need {length}.'
            )
        no_box = person.get('bbox') is None or not any(person['bbox'])
        no_joints = person.get('keypoints') == []
        absent = dict(bbox=no_box, keypoints=no_joints, num_keypoints=no_joints)
        absent['area'] = no_box and not person.get('area')
        missing = {
            key: value
            for key, value in _defaults(person, points, sizes.get(person['image_id'], 0)).items()
            if person.get(key) is None or absent.get(key)
        }
        filled.update(missing.keys())
        people.append({**person, **missing, 'category_id': 1})
    for i, person in enumerate(people):
        person.setdefault('id', i + 1)
    if filled:
        counts = ', '.join(f'{key} {number} times' for key, number in sorted(filled.items()))
        notes.append(f'"{split.file.name}": filled in {counts}')
    category = dict(category, id=1, name=category.get('name') or 'person')
    content.update(annotations=people, categories=[category])
    changed = split.changed or content != split.content
    return split._replace(content=content, changed=changed)


def _defaults(person: dict, points: list, image_size: int) -> dict:
    """Fields of a person that follow from others."""
    joints = np.array(points, dtype=float).reshape(-1, 3)
    seen = joints[joints[:, 2] > 0, :2]
    low, high = (seen.min(axis=0), seen.max(axis=0)) if len(seen) else np.zeros((2, 2))
    # a person is larger than the joints, of which a single one says nothing of the size
    extent = (high - low).max() or (0.5 * image_size if len(seen) else 0)
    margin = 0.1 * extent
    bbox = [*(low - margin).tolist(), *(high - low + 2 * margin).tolist()]
    box = person.get('bbox')
    *_, width, height = box if box and any(box) else bbox
    # xtcocotools takes this part of a box for a person where masks are missing
    area = 0.53 * width * height
    return dict(keypoints=points, num_keypoints=len(seen), iscrowd=0, bbox=bbox, area=area)


def _split(split: Split, seed: int) -> tuple[Split, Split]:
    """Every fifth picture with somebody to learn from, at random, is for validation."""
    content = split.content
    ids = sorted({p['image_id'] for p in content['annotations'] if _is_usable(p)}, key=str)
    if len(ids) < 2:
        raise ValueError(
            f'"{split.file}" has labels in one picture only, which cannot be split into training '
            'and validation. Label more.'
        )
    number = min(max(1, round(len(ids) / 5)), 5000)
    chosen = set(random.Random(seed).sample(ids, number))

    def part(wanted: bool) -> Split:
        images = [image for image in content['images'] if (image['id'] in chosen) == wanted]
        people = [p for p in content['annotations'] if (p['image_id'] in chosen) == wanted]
        new = dict(content, images=images, annotations=people)
        return split._replace(content=new, changed=True)

    return part(False), part(True)


def _write(split: Split, path: Path) -> Part:
    """Write annotations, unless they are those of the original file."""
    if not split.changed:
        path = split.file
    else:
        with write_file(path) as file:
            file.write_text(json.dumps(split.content), encoding='utf-8')
    people = sum(map(_is_usable, split.content['annotations']))
    return Part(path, split.image_dir, len(split.content['images']), people)


def _is_usable(person: dict) -> bool:
    """Whether a person teaches joints, and is counted by the metrics."""
    return bool(person['num_keypoints']) and not person['iscrowd'] and min(person['bbox'][2:]) > 0
