"""Whether the scores of joints say how good the joints are."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from mmpose.structures import PoseDataSample

from .joint_errors import match_people
from .style import new_figure

# area of a person in its box, as mmpose's codecs have it
AREA = 0.53


class Reliability(NamedTuple):
    """Joints in bins of equal width by their scores.

    Attributes:
        counts (np.ndarray): Number of joints in shape (num_bins, )
        scores (np.ndarray): Their mean score in shape (num_bins, ), NaN without joints
        quality (np.ndarray): Their mean quality in shape (num_bins, ), NaN without joints
    """

    counts: np.ndarray
    scores: np.ndarray
    quality: np.ndarray

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (`Guo et al.`_): the mean distance of score and quality.

        .. _`Guo et al.`: https://arxiv.org/abs/1706.04599
        """
        used = self.counts > 0
        gaps = np.abs(self.scores - self.quality)[used]
        return float(np.average(gaps, weights=self.counts[used]))


def rate_joints(
    samples: Iterable[PoseDataSample], sigmas: Sequence[float], thr: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of joints, and how good the joints are.

    In each picture every annotated person gets one of the predicted ones, see
    :func:`match_people`. Joints without label and people without a partner do not count.

    Args:
        samples (Iterable[:obj:`PoseDataSample`]): See :func:`predict_images`
        sigmas (Sequence[float]): COCO's sigmas of the K joints, ``dataset_meta['sigmas']``
        thr (float, optional): Tolerance in units of the longer side of the person's box.
            Defaults to None

    Returns:
        Tuple[np.ndarray, np.ndarray]: Score and quality of all joints. The quality is the
        similarity that a joint adds to the OKS of its person, with 0.53 of the box as area, or
        with ``thr`` 1 for a joint within the tolerance and else 0.

    Raises:
        ValueError: If no person with labelled joints was found.
    """
    scores, quality = [np.zeros(0)], [np.zeros(0)]
    for sample in samples:
        truth, found = sample.gt_instances, sample.pred_instances
        if 'keypoints' not in truth or not len(truth) or not len(found):
            continue
        rows, columns, distances = match_people(truth, found)
        seen = truth.keypoints_visible.reshape(truth.keypoints.shape[:2])[rows] > 0
        if thr is None:
            width, height = (truth.bboxes[rows, 2:] - truth.bboxes[rows, :2]).T
            scale = np.maximum(width, height) ** 2 / (AREA * width * height)
            rated = np.exp(-(distances**2) * scale[:, None] / (2 * (2 * np.asarray(sigmas)) ** 2))
        else:
            rated = (distances <= thr).astype(float)
        scores.append(found.keypoint_scores[columns][seen])
        quality.append(rated[seen])
    if not sum(map(len, scores)):
        raise ValueError('No person with labelled joints was found: there are no scores to rate.')
    return np.concatenate(scores), np.concatenate(quality)


def measure_reliability(scores: np.ndarray, quality: np.ndarray, num_bins: int = 10) -> Reliability:
    """Sort joints into bins by their scores.

    Args:
        scores (np.ndarray): Scores of joints in shape (N, ). Those outside [0, 1], which
            heatmaps can have, are in the first or last bin
        quality (np.ndarray): How good they are, between 0 and 1, in shape (N, )
        num_bins (int): Number of bins. Defaults to 10

    Returns:
        Reliability: The bins.
    """
    bins = np.clip((scores * num_bins).astype(int), 0, num_bins - 1)
    counts, *sums = (np.bincount(bins, weights, num_bins) for weights in (None, scores, quality))
    with np.errstate(invalid='ignore'):
        return Reliability(counts, *(total / counts for total in sums))


def draw_reliability(reliability: Reliability, label: str = 'OKS of the joint') -> Figure:
    """Draw mean quality against mean score, and the number of joints below.

    Args:
        reliability (Reliability): The bins
        label (str): What the quality is. Defaults to that of OKS

    Returns:
        Figure: The figure. Scores that mean the quality lie on the diagonal.
    """
    figure = new_figure(4.5, 4.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), color='tab:gray', linestyle='--')
    used = reliability.counts > 0
    upper.plot(reliability.scores[used], reliability.quality[used], marker='o')
    error = reliability.calibration_error
    upper.set(ylabel=f'mean {label}', ylim=(0, 1), title=f'calibration error {error:.3f}')
    num_bins = len(reliability.counts)
    shares = reliability.counts / reliability.counts.sum()
    lower.bar((np.arange(num_bins) + 0.5) / num_bins, shares, 0.9 / num_bins, color='tab:gray')
    lower.set(xlabel='score of the joint', ylabel='share', xlim=(0, 1))
    return figure
