"""What a config says about joints, and what a file says about the same."""

import os.path as osp
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import mmpose
import numpy as np
from mmengine.config import Config

from .findings import Finding

SIDES = {'left', 'right'}
SHORT = dict(l='left', r='right', lt='left', rt='right')


def check_metainfo(metainfo: Any, file: str) -> tuple[list[Finding], list[str] | None]:
    """Check that sigmas, swaps and links fit the joints of a dataset.

    Args:
        metainfo (Any): ``metainfo`` of a dataset, as in a config
        file (str): What to call it in a finding

    Returns:
        tuple:
        - findings (List[Finding]): Findings in the section ``'metainfo'``
        - names (List[str], optional): Names of the joints, ``None`` if they
          are not known
    """
    if isinstance(metainfo, dict) and 'from_file' in metainfo:
        path = metainfo['from_file']
        try:
            metainfo = _read(path)
        except Exception as error:  # a config file runs code
            problem = f'cannot be read ({type(error).__name__})'
            remedy = 'Give the path of a config file with dataset_info.'
            return [Finding(file, 'metainfo', None, 'from_file', path, problem, remedy)], None
    findings = [
        Finding(file, 'metainfo', None, field, value, problem, remedy)
        for field, value, problem, remedy in _problems(metainfo)
    ]
    names = None if findings else [joint['name'] for joint in metainfo['keypoint_info'].values()]
    return findings, names


@cache
def _read(path: str) -> dict:
    """``dataset_info`` of a config file, which is found as by mmpose."""
    if not osp.isfile(path):
        folder = osp.join(osp.dirname(mmpose.__file__), '.mim/configs/_base_/datasets')
        path = osp.join(folder, osp.basename(path))
    return Config.fromfile(path).dataset_info


def _problems(metainfo: Any) -> Iterator[tuple[str, Any, str, str]]:
    needed = ('dataset_name', 'keypoint_info', 'skeleton_info', 'joint_weights', 'sigmas')
    missing = [key for key in needed if not isinstance(metainfo, dict) or key not in metainfo]
    if missing:
        yield '', None, f'lacks {missing}', "Take mmpose's coco.py as a template."
        return
    joints, links = metainfo['keypoint_info'], metainfo['skeleton_info']
    for field, value in (('keypoint_info', joints), ('skeleton_info', links)):
        if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
            yield field, value, 'is not a dict of dicts', "Take mmpose's coco.py as a template."
            return
    names = [joint.get('name') for joint in joints.values()]
    num = len(names)
    if list(joints) != list(range(num)):
        problem = f'is not numbered 0 to {num - 1} in this order'
        yield 'keypoint_info', list(joints), problem, 'Number the joints as in the file.'
    if len(set(map(str, names))) != num or not all(isinstance(name, str) for name in names):
        yield 'keypoint_info', names, 'has a name twice or none', 'Give every joint a name.'
        return
    for field, least in (('sigmas', np.finfo(np.float32).tiny), ('joint_weights', 0)):
        try:
            values = np.asarray(metainfo[field], dtype=float)
            fits = values.shape == (num,) and (np.isfinite(values) & (values >= least)).all()
        except (TypeError, ValueError):
            fits = False
        if not fits:
            problem = f'is not {num} positive numbers, one for each joint'
            yield field, metainfo[field], problem, f'keypoint_info has {num} joints.'
    swaps = {joint['name']: joint.get('swap') or joint['name'] for joint in joints.values()}
    for name, swap in swaps.items():
        if swaps.get(swap) != name:
            problem = f'of {name} is no joint that swaps with {name}'
            remedy = 'flip_indices follow from it: left and right name each other, others have "".'
            yield 'swap', swap, problem, remedy
    for link in links.values():
        ends = link.get('link', ())
        if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not set(ends) <= set(names):
            yield 'link', ends, 'is not a pair of joints', f'The joints are {names}.'


def compare_names(found: list[str], expected: list[str]) -> str:
    """Compare the names of joints in a file with those of the metainfo.

    Spelling does not count: ``LeftEye``, ``l_eye`` and ``left eye`` are
    ``left_eye``.

    Args:
        found (List[str]): In the file
        expected (List[str]): In the metainfo

    Returns:
        str: ``'same'``, ``'similar'`` if the words of one name are among those
        of the other (``head`` and ``top_head``), or ``'other'``.
    """
    if len(found) != len(expected):
        return 'other'
    pairs = [(_words(a), _words(b)) for a, b in zip(found, expected)]
    if all(a == b for a, b in pairs):
        return 'same'
    similar = all(a & SIDES == b & SIDES and (a <= b or b <= a) and a and b for a, b in pairs)
    return 'similar' if similar else 'other'


def _words(name: str) -> set[str]:
    words = re.findall(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\dA-Za-z_]+', name)
    return {SHORT.get(word.lower(), word.lower()) for word in words or [name]}
