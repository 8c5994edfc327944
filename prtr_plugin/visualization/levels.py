"""What the decoder levels of a two-stage PRTR put out."""

import numpy as np
import torch
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.utils.typing import SampleList
from torch import Tensor, nn

from ..assignment import batched_linear_assignment
from ..models.heads import PRTRHead


def check_model(model: nn.Module) -> None:
    """Check that a model is one that the pictures are of.

    Args:
        model (nn.Module): A pose estimator

    Raises:
        TypeError: If it is no two-stage model with :class:`PRTRHead`.
    """
    head = getattr(model, 'head', None)
    if not (isinstance(model, TopdownPoseEstimator) and isinstance(head, PRTRHead)):
        raise TypeError(
            'This needs a TopdownPoseEstimator with PRTRHead, but the model '
            f'is {type(model).__name__} with {type(head).__name__}. For '
            'PRTRCascade there is tools/visualizations/cascade.py.'
        )


@torch.no_grad()
def extract_feat(model: nn.Module, data_batch: dict) -> tuple[SampleList, tuple[Tensor]]:
    """Run a two-stage model up to its head, without flip test.

    Args:
        model (nn.Module): ``TopdownPoseEstimator`` with :class:`PRTRHead`
        data_batch (dict): ``inputs`` and ``data_samples`` of B people, as
            the dataloader gives them

    Returns:
        tuple:
        - data_samples (List[:obj:`PoseDataSample`]): Those of the batch
        - feats (tuple[Tensor]): Feature maps, what the head takes

    Raises:
        TypeError: If the model is another one.
    """
    check_model(model)
    data = model.data_preprocessor(data_batch, False)
    return data['data_samples'], model.extract_feat(data['inputs'])


@torch.no_grad()
def read_levels(model: nn.Module, data_batch: dict) -> tuple[SampleList, np.ndarray]:
    """Read the joints out after every decoder level.

    Args:
        model (nn.Module): See :func:`extract_feat`
        data_batch (dict): See :func:`extract_feat`

    Returns:
        tuple:
        - data_samples (List[:obj:`PoseDataSample`]): Those of the batch
        - keypoints (np.ndarray): Joints in pixels of the images, in shape
            (B, L, K, 2)
    """
    samples, feats = extract_feat(model, data_batch)
    return samples, read_out(model, samples, *model.head.forward_layers(feats))


def read_out(
    model: nn.Module, data_samples: SampleList, cls_logits: Tensor, coords: Tensor
) -> np.ndarray:
    """Read the joints of all levels out, in one call.

    Args:
        model (nn.Module): See :func:`extract_feat`
        data_samples (List[:obj:`PoseDataSample`]): Those of B people
        cls_logits (Tensor): See :meth:`PRTRHead.forward_layers`
        coords (Tensor): The same

    Returns:
        np.ndarray: Joints in pixels of the images, in shape (B, L, K, 2).
    """
    keypoints, _ = model.head.decoder.batch_decode(cls_logits.flatten(0, 1), coords.flatten(0, 1))
    # (L * B, 1, K, 2) -> (B, L, K, 2)
    keypoints = np.reshape(keypoints, (*coords.shape[:2], -1, 2)).swapaxes(0, 1)
    center, scale, size = (
        np.stack([s.metainfo[name] for s in data_samples])[:, None, None]
        for name in ('input_center', 'input_scale', 'input_size')
    )
    return keypoints / size * scale + center - scale / 2


def match_queries(model: nn.Module, cls_logits: Tensor) -> np.ndarray:
    """Tell which query answers to each joint in the read-out.

    Args:
        model (nn.Module): See :func:`extract_feat`
        cls_logits (Tensor): Class logits in shape (N, Q, K + 1)

    Returns:
        np.ndarray: Query indices in shape (N, K), int64.
    """
    probs = model.head.decoder.joint_probs(cls_logits)
    return batched_linear_assignment(probs.mT, maximize=True)
