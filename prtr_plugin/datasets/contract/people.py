"""Boxes, joints and areas of annotated people."""

from dataclasses import dataclass

import numpy as np

from .columns import number_column, number_rows
from .section import Section

# part of the boxes or people of a file that makes a mistake one of the whole file
MOST = 0.5
MANY = 0.2


@dataclass
class People:
    """What the annotations of a file hold, N of them.

    Attributes:
        boxes (np.ndarray): [x, y, w, h] in shape (N, 4), NaN if unusable
        num_labelled (np.ndarray): Number of labelled joints in shape (N, )
        crowd (np.ndarray): Whether it is a crowd, in shape (N, )
        usable (np.ndarray): Whether a model can learn joints from it, in
            shape (N, )
    """

    boxes: np.ndarray
    num_labelled: np.ndarray
    crowd: np.ndarray
    usable: np.ndarray


def nobody(num: int) -> People:
    """What is known of ``num`` annotations in fields of their own."""
    none = np.zeros(num, bool)
    return People(np.full((num, 4), np.nan), none.astype(int), none, ~none)


def check_people(
    annotations: Section,
    sizes: np.ndarray,
    fields: dict[str, int],
    needs_keypoints: bool,
    needs_area: bool,
    boxes_alone: bool,
) -> People:
    """Check the annotations of a file.

    Args:
        annotations (Section): The annotations, which get the findings
        sizes (np.ndarray): Width and height of their pictures in shape
            (N, 2), NaN if unknown
        fields (Dict[str, int]): Fields with joints, and the numbers of joints
        needs_keypoints (bool): Whether a metric reads joints of everybody
        needs_area (bool): Whether a metric reads areas
        boxes_alone (bool): Whether people without joints are of use

    Returns:
        People: What the annotations hold.
    """
    flags = annotations.column('iscrowd', 0)
    crowd = np.array([flag == 1 for flag in flags], bool)
    annotations.add(
        [flag not in (0, 1) for flag in flags],
        'iscrowd',
        'is not 0 or 1',
        'Write 1 for a region of many people, and 0 for a person.',
    )
    parts = [
        _check_keypoints(annotations, field, num, needs_keypoints, boxes_alone)
        for field, num in fields.items()
    ] or [np.zeros((len(annotations), 0, 3))]
    # the body comes first; feet, face and hands are not counted in the files
    body, counts = parts[0], sum((part[..., 2] > 0).sum(axis=1) for part in parts)
    boxes = check_boxes(annotations, sizes, counts > 0)
    _check_places(annotations, body, boxes, sizes)
    kept = _check_num_keypoints(annotations, body[..., 2])
    _check_areas(annotations, boxes, (counts > 0) & ~crowd, needs_area)
    usable = kept & ~crowd & np.isfinite(boxes).all(axis=1) & (counts > 0)
    usable &= (boxes[:, 2:] > 0).all(axis=1)
    return People(boxes, counts, crowd, usable)


def check_boxes(section: Section, sizes: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Check ``bbox`` of annotations or detections.

    Args:
        section (Section): They, which get the findings
        sizes (np.ndarray): Width and height of their pictures in shape
            (N, 2), NaN if unknown
        labelled (np.ndarray): Whose box must have an area, in shape (N, )

    Returns:
        np.ndarray: [x, y, w, h] in shape (N, 4), NaN if unusable.
    """
    layout = 'Write [x, y, width, height] in pixels.'
    boxes, valid = number_rows(section.column('bbox'), 4)
    section.add(~section.present('bbox'), 'bbox', 'is missing', layout)
    section.add(~valid & section.present('bbox'), 'bbox', 'is not a list of four numbers', layout)
    finite = np.isfinite(boxes).all(axis=1)
    section.add(valid & ~finite, 'bbox', 'is NaN or infinite', layout)
    boxes[~finite] = np.nan
    start, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]

    num = max(finite.sum(), 1)
    if len(section) and (boxes[finite] <= 1).all() and finite.any():
        problem = 'is not in pixels in any object'
        section.add_whole('bbox', None, problem, 'Multiply them by the width and height.')
        return boxes
    outside = (end > sizes * 1.01 + 1).any(axis=1)
    corners = np.all((boxes[:, 2:] > start) & (boxes[:, 2:] <= sizes + 1), axis=1)
    share = (outside & corners).sum() / num
    if share > MOST or (share > MANY and corners[finite].all()):
        problem = 'ends outside the picture for most objects, read as [x, y, width, height]'
        remedy = 'They seem to be [x1, y1, x2, y2]: replace x2, y2 by x2 - x1, y2 - y1.'
        section.add_whole('bbox', None, problem, remedy)
        return boxes

    negative = np.any(boxes[:, 2:] < 0, axis=1)
    section.add(negative, 'bbox', 'has a negative size', layout)
    # as in ClipBBoxInclusive, which counts the last pixel of a box as part of it
    first = np.maximum(start, 0)
    last = np.minimum(sizes - 1, first + boxes[:, 2:] - 1)
    overlap = np.minimum(end, sizes) - first
    away = ~negative & (overlap < 0).any(axis=1)
    section.add(away, 'bbox', 'is outside its picture', 'Correct it, or width and height.')
    small = ~negative & ~away & ((last <= first) | (boxes[:, 2:] <= 0)).any(axis=1)
    remedy = 'Correct it, or remove the object from the file.'
    thin = 'is not wider and higher than 1 pixel inside its picture'
    section.add(small & labelled, 'bbox', thin, remedy)
    empty = small & ~labelled & (overlap <= 0).any(axis=1)
    section.add(empty, 'bbox', 'has no area; it is left out', remedy, 'warning')
    share = overlap.clip(0).prod(axis=1) / boxes[:, 2:].prod(axis=1)
    rest = ~negative & ~away & ~small
    section.add(rest & (share < 0.05), 'bbox', 'is nearly all outside its picture', layout)
    problem, some = 'is mostly outside its picture', (share >= 0.05) & (share < 0.25)
    section.add(rest & some, 'bbox', problem, layout, 'warning')
    return boxes


def _check_keypoints(
    annotations: Section, field: str, num: int, needed: bool, boxes_alone: bool
) -> np.ndarray:
    """Check joints by themselves, and return [x, y, v] in shape (N, K, 3).

    They are 0 where they are not labelled or not usable.
    """
    layout = f'Write one flat list [x1, y1, v1, x2, ...] of {num} joints: {3 * num} numbers.'
    present = annotations.present(field)
    if needed:
        problem = 'is missing, and the metric needs it'
        annotations.add(~present, field, problem, 'Add [0, 0, 0, ...] where nothing is labelled.')
    elif not boxes_alone:
        remedy = 'Add it, or remove the annotation from the file.'
        annotations.add(~present, field, 'is missing; it is left out', remedy, 'warning')
    values = annotations.column(field)
    rows, valid = number_rows(values, 3 * num)
    problem = f'is not a flat list of {3 * num} numbers, three for each of the {num} joints'
    remedy = f'{layout} If the file has another number of joints, set metainfo to those.'
    annotations.add(present & ~valid, field, problem, remedy)
    points = rows.reshape(-1, num, 3)
    visible = points[..., 2]
    wrong = valid & ~np.isin(visible, (0, 1, 2)).all(axis=1)
    remedy = 'Write 0 for not labelled, 1 for hidden and 2 for visible.'
    annotations.add(wrong, field, 'has a visibility that is not 0, 1 or 2', remedy)
    labelled = visible > 0
    lost = valid & ~wrong & (labelled & ~np.isfinite(points).all(axis=2)).any(axis=1)
    remedy = 'Correct it, or set its visibility to 0.'
    annotations.add(lost, field, 'has a labelled joint that is NaN or infinite', remedy)
    points[~labelled | ~(valid & ~wrong & ~lost)[:, None]] = 0
    return points


def _check_places(
    annotations: Section, points: np.ndarray, boxes: np.ndarray, sizes: np.ndarray
) -> None:
    """Check where labelled joints are in relation to box and picture."""
    labelled = points[..., 2] > 0
    num = labelled.sum(axis=1)
    some, places = num > 0, points[..., :2]
    start, size = boxes[:, None, :2], boxes[:, None, 2:]
    tiny = some & (np.where(labelled[..., None], abs(places), 0) <= 1).all(axis=(1, 2))
    tiny &= (boxes[:, 2:] > 4).all(axis=1) & (num > 2)
    remedy = 'Multiply x by the width and y by the height of the picture.'
    annotations.add(tiny, 'keypoints', 'is not in pixels: all joints are within 0..1', remedy)

    def within(margin: float) -> np.ndarray:
        near = (places >= start - margin * size) & (places <= start + (1 + margin) * size)
        return (near.all(axis=2) & labelled).sum(axis=1)

    known = some & ~tiny & np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    remedy = 'Correct the joints or the box; joints are in pixels of the whole picture.'
    near, nearest = within(0.5), within(1)
    away = known & ((nearest == 0) | ((nearest < MOST * num) & (num > 2)))
    annotations.add(away, 'keypoints', 'has hardly any labelled joint near the box', remedy)
    end = (start + size)[:, 0]
    corners = (size[:, 0] > start[:, 0]).all(axis=1) & (end > sizes * 1.01 + 1).any(axis=1)
    corners &= (size[:, 0] <= sizes + 1).all(axis=1) & (num > 2) & known
    corners &= (((places >= start) & (places <= size)).all(axis=2) | ~labelled).all(axis=1)
    problem = 'ends outside the picture, and as [x1, y1, x2, y2] it holds all joints'
    fix = 'Write [x, y, width, height]: x2 - x1 and y2 - y1 as the last two.'
    annotations.add(corners, 'bbox', problem, fix)
    origin = labelled & (places == 0).all(axis=2)
    origin &= ((start > 0.5 * size) | (size <= 0)).any(axis=2)
    fix = 'Set the visibility of joints that are not labelled to 0.'
    problem = 'has a labelled joint at (0, 0), far from the box'
    annotations.add(known & ~away & origin.any(axis=1), 'keypoints', problem, fix)
    few = known & ~away & (near < MOST * num)
    severity = 'error' if few.sum() > max(MANY * known.sum(), 1) else 'warning'
    problem = 'has most of the labelled joints far from the box'
    annotations.add(few, 'keypoints', problem, remedy, severity)
    beyond = np.maximum(-places, places - sizes[:, None])
    limit = sizes.max(axis=1)[:, None, None]
    lost = (labelled[..., None] & (beyond > limit)).any(axis=(1, 2))
    problem = 'has a labelled joint outside the picture by more than its size'
    annotations.add(lost & ~away, 'keypoints', problem, remedy)


def _check_num_keypoints(annotations: Section, visible: np.ndarray) -> np.ndarray:
    """Compare with visibilities in shape (N, K); return whom mmpose keeps, in shape (N, )."""
    counts, seen = (visible > 0).sum(axis=1), (visible == 2).sum(axis=1)
    present = annotations.present('num_keypoints')
    numbers, valid = number_column(annotations.column('num_keypoints'))
    whole = valid & (numbers >= 0) & (numbers == np.floor(numbers)) & np.isfinite(numbers)
    remedy = 'Write the number of joints with visibility above 0, or leave the field out.'
    problem = 'is not a number of joints'
    annotations.add(present & ~whole, 'num_keypoints', problem, remedy)
    other = whole & (numbers != counts)
    # CrowdPose counts visible joints only
    crowdpose = other & (numbers == seen)
    opposite = other & ~crowdpose & ((numbers == 0) != (counts == 0))
    problem = 'does not agree with the labels, and decides whether the person is used'
    annotations.add(opposite, 'num_keypoints', problem, remedy)
    problem = 'is not the number of labelled joints'
    annotations.add(other & ~opposite & ~crowdpose, 'num_keypoints', problem, remedy, 'warning')
    dropped = (crowdpose | opposite) & (numbers == 0) & (counts > 0)
    problem = 'is 0, so the person is left out in spite of labels'
    annotations.add(dropped & crowdpose, 'num_keypoints', problem, remedy, 'warning')
    return ~(whole & (numbers == 0))


def _check_areas(
    annotations: Section, boxes: np.ndarray, labelled: np.ndarray, needed: bool
) -> None:
    present = annotations.present('area')
    numbers, valid = number_column(annotations.column('area'))
    remedy = (
        'Write the area of the mask in square pixels, or evaluate with use_area=False in the '
        'evaluator, which takes 0.53 of the box.'
    )
    if needed:
        annotations.add(~present, 'area', 'is missing, and the metric needs it', remedy)
    annotations.add(present & ~valid, 'area', 'is not a number', remedy)
    severity = 'error' if needed else 'warning'
    wrong = valid & (~np.isfinite(numbers) | (numbers < 0) | (labelled & (numbers <= 0)))
    annotations.add(wrong, 'area', 'is not a positive number', remedy, severity)
    ratio = numbers / np.where(boxes[:, 2:] > 0, boxes[:, 2:], np.nan).prod(axis=1)
    odd = valid & ~wrong & labelled & ((ratio > 4) | (ratio < 0.001))
    annotations.add(odd, 'area', 'does not fit the box', remedy, severity)
    # COCO has people without both, who are left out
    flat = (boxes[:, 2:] == 0).any(axis=1) & (numbers > 0) & ~labelled
    problem = 'has no area, though "area" is not 0'
    annotations.add(flat, 'bbox', problem, 'Correct it, or remove the object from the file.')
