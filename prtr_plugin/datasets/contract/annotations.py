from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .columns import is_id, number_column
from .detections import check_detections
from .findings import Finding
from .metainfo import check_metainfo, compare_names
from .people import check_people, nobody
from .pictures import check_pictures
from .reading import read_json
from .section import Section

SECTIONS = ('images', 'annotations', 'categories')


@dataclass
class FileUse:
    """What an annotation file is used for.

    Attributes:
        metainfo (dict, optional): ``metainfo`` of the dataset. Defaults to
            ``None``, and the file decides on the joints
        img_dir (str, optional): Folder of the pictures. Defaults to ``None``,
            and pictures are not checked
        bbox_file (str, optional): Boxes of a detector. Defaults to ``None``
        evaluator_file (str, optional): Annotation file of a metric that
            evaluates the pictures of this one. Defaults to ``None``
        annotated (bool): Whether its people are of use; otherwise it lists
            pictures to be tested, and may have nobody. Defaults to ``True``
        keypoints (bool): Whether a metric of COCO reads the joints. Defaults
            to ``False``
        area (bool): Whether a metric reads ``area``. Defaults to ``False``
        crowded (bool): Whether that metric is CrowdPose's, which sorts the
            pictures by ``crowdIndex``. Defaults to ``False``
        whole_images (bool): Whether a model sees whole pictures with
            everybody in them. Defaults to ``False``
        fields (Dict[str, int]): Fields with joints, and their numbers.
            Defaults to ``keypoints``, as many as the metainfo has
        people (bool): Whether boxes and joints are in COCO's fields. Defaults
            to ``True``; otherwise only pictures, ids and categories are checked
        required (List[str]): Other fields that every annotation needs.
            Defaults to none
        picture_seconds (float): Time for comparing the sizes of pictures.
            Defaults to 10
    """

    metainfo: dict | None = None
    img_dir: str | None = None
    bbox_file: str | None = None
    evaluator_file: str | None = None
    annotated: bool = True
    keypoints: bool = False
    area: bool = False
    crowded: bool = False
    whole_images: bool = False
    fields: dict[str, int] = field(default_factory=dict)
    people: bool = True
    required: Sequence[str] = ()
    picture_seconds: float = 10.0


@np.errstate(all='ignore')  # comparisons with NaN are false, as they should be
def check_annotations(ann_file: str, use: FileUse | None = None) -> list[Finding]:
    """Look at a whole annotation file in COCO's layout.

    No picture is decoded, and whatever the file holds, nothing is raised:
    what is wrong is among the findings. ``docs/datasets.md`` lists them.

    Args:
        ann_file (str): Annotation file
        use (FileUse, optional): What it is used for. Defaults to
            ``FileUse()``

    Returns:
        List[Finding]: What is wrong with it, an item for each object and
        problem.
    """
    use = use or FileUse()
    findings: list[Finding] = []
    names = None
    if use.metainfo is not None:
        findings, names = check_metainfo(use.metainfo, ann_file)
    data, problems = read_json(ann_file)
    findings += problems
    if problems:
        return findings
    (images, annotations, categories), problems = _split(ann_file, data, use)
    findings += problems
    if problems:
        return findings
    sizes, image_of = _check_images(images, annotations, use.whole_images)
    used = _check_categories(categories, annotations)
    fields = _joint_fields(use, names, annotations)
    _check_names(categories, used, names, fields)
    if use.crowded:
        _, valid = number_column(images.column('crowdIndex'))
        remedy = "Take CrowdPose's own file, or evaluate with iou_type='keypoints'."
        images.add(~valid, 'crowdIndex', 'is not a number, and the metric needs it', remedy)
    for name in [*use.required, *['num_keypoints'] * use.crowded]:
        problem = 'is missing, and the dataset needs it'
        annotations.add(~annotations.present(name), name, problem, 'Add it.')
    # the last row is that of annotations without a picture
    size_of = np.concatenate((sizes, np.full((1, 2), np.nan)))[image_of]
    flags = use.keypoints, use.area, use.whole_images
    if use.people:
        people = check_people(annotations, size_of, fields, *flags)
    else:
        people = nobody(len(annotations))
    if use.whole_images and len(used) > 1:
        categories.add_whole(
            'id',
            sorted(categories.rows[i].get('id') for i in used),
            'are several categories with annotations, which all count as people',
            'Remove the annotations of those that are not people.',
            'warning',
        )
    detected = np.zeros(0, int)
    if use.bbox_file:
        problems, detected = check_detections(use.bbox_file, images.positions(), sizes)
        findings += problems
    if use.evaluator_file:
        _compare_pictures(images, use.evaluator_file)
    if use.annotated and use.people and not people.usable.any():
        annotations.add_whole(
            '',
            None,
            f'has no person with a box and a labelled joint among its {len(annotations)} entries',
            'Check "bbox" (width and height above 0), "keypoints" (visibility above 0) and '
            '"iscrowd" (0).',
        )
    if use.img_dir is not None:
        needed = np.full(len(images), use.whole_images)
        needed[image_of[people.usable & (image_of >= 0)]] = True
        needed[detected] = True
        check_pictures(images, use.img_dir, needed, use.picture_seconds)
    return findings + images.findings + annotations.findings + categories.findings


def _split(
    path: str, data: Any, use: FileUse
) -> tuple[tuple[Section, Section, Section], list[Finding]]:
    """The three sections of a file, or why they are not there."""
    findings, lists = [], {}
    layout = 'COCO keypoint files have the lists "images", "annotations" and "categories".'
    if not isinstance(data, dict):
        findings.append(Finding(path, 'file', None, '', None, 'is not a JSON object', layout))
        data = {}
    needed = SECTIONS if use.annotated else ('images', 'categories')
    missing = [name for name in needed if name not in data]
    if missing and not findings:
        findings.append(Finding(path, 'file', None, '', None, f'lacks {missing}', layout))
    for name in SECTIONS:
        rows = lists[name] = data.get(name, [])
        if not isinstance(rows, list):
            problem = f'is not a list but {type(rows).__name__}'
            findings.append(Finding(path, name, None, '', None, problem, layout))
        elif not all(type(row) is dict for row in rows):
            i, row = next((i, row) for i, row in enumerate(rows) if type(row) is not dict)
            findings.append(Finding(path, name, i, '', row, 'is not an object', layout))
    if findings:
        lists = {name: [] for name in SECTIONS}
    images, annotations, categories = (Section(path, name, lists[name]) for name in SECTIONS)
    return (images, annotations, categories), findings


def _check_images(
    images: Section, annotations: Section, whole: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Check pictures, and annotations' references to them.

    Returns their widths and heights in shape (I, 2), NaN if unusable, and
    positions in shape (N, ), -1 if there is none.
    """
    images.check_ids('id')
    annotations.check_ids('id')
    sizes = np.full((len(images), 2), np.nan)
    for i, name in enumerate(('width', 'height')):
        numbers, valid = number_column(images.column(name))
        valid &= (numbers >= 1) & (numbers < 2**31) & (numbers == np.floor(numbers))
        present = images.present(name)
        remedy = 'Write the size of the picture in pixels.'
        images.add(~present, name, 'is missing', remedy)
        images.add(present & ~valid, name, 'is not a positive integer', remedy)
        sizes[valid, i] = numbers[valid]
    names = images.column('file_name')
    wrong = [not isinstance(name, str) or not name.strip('/. ') for name in names]
    images.add(wrong, 'file_name', 'is not a name', 'Write the path below the folder of pictures.')
    count = Counter(name for name in names if isinstance(name, str))
    twice = [isinstance(name, str) and count[name] > 1 for name in names]
    remedy = 'Give a picture one entry, with all its people.'
    # the people of one entry are not labelled in the other
    severity = 'error' if whole else 'warning'
    images.add(twice, 'file_name', 'is the picture of several entries', remedy, severity)
    return sizes, annotations.check_ids('image_id', images.positions(), 'images')


def _check_categories(categories: Section, annotations: Section) -> list[int]:
    """Check categories, and return the positions of those with annotations."""
    categories.check_ids('id')
    found = annotations.check_ids('category_id', categories.positions(), 'categories')
    return np.unique(found[found >= 0]).tolist()


def _joint_fields(use: FileUse, names: list[str] | None, annotations: Section) -> dict[str, int]:
    """Fields with joints and their numbers, or those of most annotations."""
    if use.fields:
        return use.fields
    if names is not None:
        return dict(keypoints=len(names))
    values = annotations.column('keypoints', None)
    lengths = Counter(len(v) // 3 for v in values if isinstance(v, list) and len(v) >= 3)
    return dict(keypoints=lengths.most_common(1)[0][0]) if lengths else {}


def _check_names(
    categories: Section, used: list[int], names: list[str] | None, fields: dict[str, int]
) -> None:
    """Compare ``keypoints`` of the categories in use with the metainfo."""
    names = names[: fields['keypoints']] if names and 'keypoints' in fields else None
    is_used = np.isin(np.arange(len(categories)), used)
    present = categories.present('keypoints')
    if names:
        problem = 'are missing, so their order cannot be compared with the metainfo'
        remedy = f'Add the names {names}.'
        categories.add(is_used & ~present, 'keypoints', problem, remedy, 'warning')
    for i in np.flatnonzero(is_used & present).tolist():
        here, found = np.arange(len(categories)) == i, categories.rows[i]['keypoints']
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            remedy = 'Write a list of names.'
            categories.add(here, 'keypoints', 'is not a list of names', remedy)
        elif names and (verdict := compare_names(found, names)) != 'same':
            other = verdict == 'other'
            verb = 'are not' if other else 'are taken for'
            problem = f'{verb} the joints of the metainfo, {names}'
            remedy = 'Names and order must agree: change the file, or metainfo and head.'
            severity = 'error' if other else 'warning'
            categories.add(here, 'keypoints', problem, remedy, severity)


def _compare_pictures(images: Section, evaluator_file: str) -> None:
    """Check that a metric's file has the pictures that are predicted."""
    data, problems = read_json(evaluator_file)
    rows = data.get('images') if isinstance(data, dict) else None
    if problems or not isinstance(rows, list):
        return  # that file has findings of its own
    known = {row['id'] for row in rows if isinstance(row, dict) and is_id(row.get('id'))}
    images.add(
        [is_id(i) and i not in known for i in images.column('id')],
        'id',
        f'is not an id in "images" of "{evaluator_file}", the ann_file of the evaluator',
        'Give dataset and evaluator the same ann_file.',
    )
