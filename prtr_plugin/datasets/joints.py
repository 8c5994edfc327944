"""What mmpose wants to know about joints, from the categories of annotations."""

import re
from collections.abc import Sequence

from mmpose.datasets.datasets.utils import parse_pose_metainfo

# COCO's, see "sigmas" of its metainfo, by the name without the side
_SIGMAS = dict(
    nose=0.026, eye=0.025, ear=0.035, shoulder=0.079, elbow=0.072, wrist=0.062, hip=0.107,
    knee=0.087, ankle=0.089,
)  # fmt: skip
DEFAULT_SIGMA = 0.079
COLORS = dict(left=[0, 255, 0], right=[255, 128, 0], middle=[51, 153, 255])


def split_side(name: str) -> tuple[str, str]:
    """The side that the name of a joint says, and the rest of the name.

    Args:
        name (str): Such as ``'left_eye'``, ``'Eye.L'`` or ``'LEye'``

    Returns:
        Tuple[str, str]: ``'left'``, ``'right'`` or ``'middle'``, and the name
        without the side in lower case with underscores.

    Example:
        >>> split_side('LShoulder')
        ('left', 'shoulder')
    """
    spaced = re.sub('([a-z0-9])([A-Z])|(?<=[LR])([A-Z])(?=[a-z])', r'\1 \2\3', name)
    words = [word for word in re.split('[^a-z0-9]+', spaced.lower()) if word]
    sides = {'left': 'left', 'l': 'left', 'right': 'right', 'r': 'right'}
    found = [word for word in words if word in sides]
    if len(found) != 1 or len(words) == 1:
        return 'middle', '_'.join(words)
    words.remove(found[0])
    return sides[found[0]], '_'.join(words)


def find_swaps(names: Sequence[str]) -> dict[str, str]:
    """The joint that each joint becomes when a picture is mirrored, by the names.

    Args:
        names (Sequence[str]): Names of the joints

    Returns:
        Dict[str, str]: Both directions of every pair. Joints without a
        partner are left out.
    """
    parts = {split_side(name): name for name in names}
    other = dict(left='right', right='left')
    return {
        name: parts[other[side], rest]
        for (side, rest), name in parts.items()
        if side in other and (other[side], rest) in parts
    }


def make_dataset_info(
    name: str,
    joints: Sequence[str],
    links: Sequence[Sequence[int]] = (),
    swaps: dict[str, str] | None = None,
    sigmas: float | Sequence[float] | None = None,
) -> dict:
    """Make mmpose's ``metainfo`` of a dataset.

    Args:
        name (str): Name of the dataset
        joints (Sequence[str]): Names of the K joints
        links (Sequence[Sequence[int]]): Pairs of joints, counted from 0, that
            are drawn as lines. Defaults to none
        swaps (Dict[str, str], optional): See :func:`find_swaps`, which is the
            default
        sigmas (float | Sequence[float], optional): Tolerances of OKS, one for
            all joints or K. Defaults to COCO's where the name is one of its
            joints, else the shoulder's

    Returns:
        dict: For ``metainfo`` of a dataset's config.

    Raises:
        ValueError: If names repeat, or ``sigmas``, ``swaps`` or ``links`` do
            not fit the joints.
    """
    joints = list(joints)
    double = sorted({joint for joint in joints if joints.count(joint) > 1})
    if double:
        raise ValueError(f'The joints {double} exist twice in {joints}. Names must differ.')
    swaps = find_swaps(joints) if swaps is None else swaps
    unknown = sorted({*swaps, *swaps.values()} - set(joints))
    if unknown:
        raise ValueError(f'flip names {unknown}, which are not among the joints {joints}.')
    wrong = [list(link) for link in links if not all(0 <= k < len(joints) for k in link)]
    if wrong:
        raise ValueError(
            f'The links {wrong} do not fit {len(joints)} joints. "skeleton" counts them from 1.'
        )
    if sigmas is None:
        sigmas = [_SIGMAS.get(split_side(joint)[1], DEFAULT_SIGMA) for joint in joints]
    elif isinstance(sigmas, (int, float)):
        sigmas = [float(sigmas)] * len(joints)
    if len(sigmas) != len(joints) or not all(sigma > 0 for sigma in sigmas):
        raise ValueError(
            f'sigmas must be one positive number or {len(joints)}, one for each joint, but is '
            f'{list(sigmas)}.'
        )
    colors = {joint: COLORS[split_side(joint)[0]] for joint in joints}
    keypoint_info = {
        i: dict(name=joint, id=i, color=colors[joint], type='', swap=swaps.get(joint, ''))
        for i, joint in enumerate(joints)
    }
    skeleton_info = {}
    for i, (a, b) in enumerate(links):
        same = colors[joints[a]] == colors[joints[b]]
        color = colors[joints[a]] if same else COLORS['middle']
        skeleton_info[i] = dict(link=(joints[a], joints[b]), id=i, color=color)
    return dict(
        dataset_name=name,
        keypoint_info=keypoint_info,
        skeleton_info=skeleton_info,
        joint_weights=[1.0] * len(joints),
        sigmas=list(sigmas),
    )


def parse_dataset_info(info: dict) -> dict:
    """``dataset_meta`` as models and checkpoints have it, from :func:`make_dataset_info`."""
    return parse_pose_metainfo(info)
