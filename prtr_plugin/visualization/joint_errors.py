"""How far predicted joints are from annotated ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from scipy.optimize import linear_sum_assignment

from .style import joint_colors, joint_names, new_figure, side_handles


class JointErrors(NamedTuple):
    """Distances of joints, in units of the longer side of the person's box.

    Attributes:
        errors (np.ndarray): In shape (N, K), NaN where a joint is not
            labelled, infinite where nobody was found
        images (np.ndarray): Index of each person's picture, in shape (N, )
    """

    errors: np.ndarray
    images: np.ndarray

    @property
    def per_joint(self) -> np.ndarray:
        """Median distance of each joint in shape (K, ), NaN if it is never labelled."""
        return np.array([_median(column) for column in self.errors.T])

    @property
    def per_person(self) -> np.ndarray:
        """Mean distance of the joints of each person in shape (N, )."""
        known = ~np.isnan(self.errors)
        total = np.where(known, self.errors, 0).sum(axis=1)
        return total / np.maximum(known.sum(axis=1), 1)

    def pck(self, thr: float = 0.1) -> np.ndarray:
        """Share of labelled joints that are within a distance, in shape (K, )."""
        known = ~np.isnan(self.errors)
        found = np.where(known, self.errors, np.inf) <= thr
        return found.sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _median(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else float('nan')


def match_people(
    truth: InstanceData, found: InstanceData
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give annotated people predicted ones, so that the sum of the distances is smallest.

    Args:
        truth (InstanceData): N people with K ``keypoints``, ``keypoints_visible`` and ``bboxes``
        found (InstanceData): M people with K ``keypoints``

    Returns:
        tuple: Indices of min(N, M) annotated people, of their predicted ones, and the distances
        of the joints of these pairs in shape (min(N, M), K), in units of the longer side of the
        person's box.
    """
    size = (truth.bboxes[:, 2:] - truth.bboxes[:, :2]).max(axis=1)
    seen = truth.keypoints_visible.reshape(truth.keypoints.shape[:2]) > 0
    gaps = truth.keypoints[:, None] - found.keypoints[None, ..., :2]
    distances = np.linalg.norm(gaps, axis=-1) / size[:, None, None]
    rows, columns = linear_sum_assignment((distances * seen[:, None]).sum(axis=-1))
    return rows, columns, distances[rows, columns]


def measure_joints(samples: Sequence[PoseDataSample], num_keypoints: int) -> JointErrors:
    """Compare predicted people with annotated ones.

    In each picture every annotated person gets one of the predicted ones, so
    that the sum of the distances is smallest.

    Args:
        samples (Sequence[:obj:`PoseDataSample`]): See :func:`predict_images`
        num_keypoints (int): Number of joints K

    Returns:
        JointErrors: Their distances.
    """
    errors, images = [np.zeros((0, num_keypoints))], []
    for i, sample in enumerate(samples):
        truth, found = sample.gt_instances, sample.pred_instances
        if 'keypoints' not in truth or not len(truth):
            continue
        seen = truth.keypoints_visible.reshape(len(truth), num_keypoints) > 0
        result = np.full(seen.shape, np.inf)
        if len(found):
            rows, _, distances = match_people(truth, found)
            result[rows] = distances
        result[~seen] = np.nan
        errors.append(result)
        images += [i] * len(truth)
    return JointErrors(np.concatenate(errors), np.array(images, dtype=int))


def draw_joint_errors(errors: JointErrors, dataset_meta: dict) -> Figure:
    """Draw the median distance of each joint as a bar.

    Args:
        errors (JointErrors): The distances
        dataset_meta (dict): Names, sides and colours of the joints

    Returns:
        Figure: The figure.
    """
    names, values = joint_names(dataset_meta), errors.per_joint
    figure = new_figure(7, 0.22 * len(names) + 1.2)
    axis = figure.add_subplot()
    # nobody found in most pictures: as far as the axis goes
    limit = np.nanmax(values[np.isfinite(values)], initial=0.1)
    shown = np.nan_to_num(values, nan=0, posinf=limit)
    axis.barh(names, shown, color=joint_colors(dataset_meta))
    axis.invert_yaxis()
    axis.set(xlabel="median distance, in units of the longer side of the person's box")
    axis.tick_params(labelsize=8)
    for k, (value, share) in enumerate(zip(values, errors.pck())):
        text = f' {value:.3f}' if np.isfinite(value) else ' mostly not found'
        text = ' not labelled' if np.isnan(value) else f'{text}, PCK@0.1 {share:.2f}'
        axis.text(shown[k], k, text, va='center', fontsize=7)
    axis.set_xlim(0, 1.35 * max(shown.max(), 1e-3))
    handles = side_handles(dataset_meta)
    if len(handles) > 1:
        figure.legend(handles=handles, loc='outside lower center', ncols=len(handles))
    return figure
