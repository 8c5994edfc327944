"""Joints of crops and of the same crops mirrored, in one batch of 2B."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from prtr_plugin.codecs import HungarianKeypointCodec

from ..transformers import softmax_maps


def average_mirrored(
    keypoints: np.ndarray, scores: np.ndarray, width: float, flip_indices: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the joints of the second half back and average both halves.

    Args:
        keypoints (np.ndarray): Coordinates in shape (2B, 1, K, 2), in pixels
        scores (np.ndarray): Scores in shape (2B, 1, K)
        width (float): Sum of the x of a point and of its mirror image
        flip_indices (Sequence[int]): For each joint its mirrored one

    Returns:
        tuple: Coordinates in shape (B, 1, K, 2) and scores in shape (B, 1, K).
    """
    plain, mirrored = np.split(keypoints, 2)
    mirrored = mirrored[:, :, flip_indices]
    mirrored[..., 0] = width - mirrored[..., 0]
    plain_scores, mirrored_scores = np.split(scores, 2)
    return (plain + mirrored) / 2, (plain_scores + mirrored_scores[:, :, flip_indices]) / 2


def read_out_mirrored_maps(
    codec: HungarianKeypointCodec,
    cls_logits: Tensor,
    maps: Tensor,
    locate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    flip_indices: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Read out the joints of both halves in the mean of their maps.

    Args:
        codec (:obj:`HungarianKeypointCodec`): Codec of the head
        cls_logits (Tensor): Class logits in shape (2B, Q, K + 1)
        maps (Tensor): Logits over pixels in shape (2B, Q, h, w)
        locate (Callable): See :meth:`PixelPRTRTransformer.locate`
        flip_indices (Sequence[int]): For each joint its mirrored one

    Returns:
        tuple:
        - keypoints (np.ndarray): Coordinates in shape (2B, 1, K, 2), in
            pixels of the plain or the mirrored input image
        - scores (np.ndarray): Class probability times share of the window, in
            shape (2B, 1, K)

    Raises:
        FloatingPointError: If a logit is NaN or infinite.
    """
    queries, scores = codec.assign(cls_logits)
    pixels = queries[..., None, None].expand(-1, -1, *maps.shape[2:])
    probs = softmax_maps(maps.gather(1, pixels))
    plain, mirrored = probs.chunk(2)
    plain = plain + mirrored[:, flip_indices].flip(-1)
    both = torch.cat((plain, plain[:, flip_indices].flip(-1)))
    points, shares = locate(probs, both)
    joints = torch.cat((points, (scores * shares)[..., None]), dim=-1)[:, None]
    found = joints.detach().cpu().numpy()
    if not np.isfinite(found).all():
        raise FloatingPointError('Maps contain NaN or infinite values.')
    return found[..., :2] * np.array(codec.input_size, np.float32), found[..., 2]
