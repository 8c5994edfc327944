"""Outputs of the decoder layers of a two-stage PRTR."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.utils.typing import SampleList
from torch import Tensor, nn

from ..assignment import batched_linear_assignment
from ..models.heads import PRTRHead


class LayerOutputs(NamedTuple):
    """Outputs of the L decoder layers of a two-stage model for B people.

    Args:
        data_samples (List[:obj:`PoseDataSample`]): Data samples of the batch
        feats (tuple[Tensor]): Feature maps, the input of the head
        cls_logits (Tensor): Class logits in shape (L, B, Q, K + 1)
        coords (Tensor): Coordinates relative to the crop in shape (L, B, Q, 2)
        queries (np.ndarray): Index of the query that the read-out assigns to
            each joint, in shape (L, B, K)
        keypoints (np.ndarray): Joints in pixels of the images, in shape
            (L, B, K, 2)
    """

    data_samples: SampleList
    feats: tuple[Tensor, ...]
    cls_logits: Tensor
    coords: Tensor
    queries: np.ndarray
    keypoints: np.ndarray


@torch.no_grad()
def read_layers(model: BaseModel, data_batch: dict) -> LayerOutputs:
    """Run a two-stage model and read out the joints after every decoder layer.

    Args:
        model (BaseModel): ``TopdownPoseEstimator`` with :class:`PRTRHead`. It
            runs without flip test
        data_batch (dict): ``inputs`` and ``data_samples`` of B people, as from
            a dataloader

    Returns:
        LayerOutputs: The outputs of all layers.

    Raises:
        TypeError: If the model is of another kind.
    """
    head = check_model(model)
    data = model.data_preprocessor(data_batch, False)
    samples, feats = data['data_samples'], model.extract_feat(data['inputs'])
    # of the last layer after the confidences of maps, which the others lack
    last = head(feats)[0].float() if head.transformer.with_maps else None
    cls_logits, coords = (x.float() for x in head.forward_layers(feats))
    if last is not None:
        cls_logits[-1] = last
    probs = head.decoder.joint_probs(cls_logits).flatten(0, 1)
    assigned = batched_linear_assignment(probs.mT, maximize=True)
    queries = assigned.cpu().numpy().reshape(*coords.shape[:2], -1)
    joints = np.take_along_axis(coords.cpu().numpy(), queries[..., None], axis=2)
    x1, y1, x2, y2 = np.transpose([crop_region(s.metainfo) for s in samples])[..., None]
    keypoints = joints * np.stack((x2 - x1, y2 - y1), axis=-1) + np.stack((x1, y1), axis=-1)
    return LayerOutputs(samples, feats, cls_logits, coords, queries, keypoints)


def crop_region(metainfo: dict) -> tuple[float, float, float, float]:
    """The region of an image that a two-stage model crops.

    Args:
        metainfo (dict): Meta information of a data sample, with
            ``input_center`` and ``input_scale``

    Returns:
        tuple: x1, y1, x2, y2 in pixels of the image.
    """
    center, scale = metainfo['input_center'], metainfo['input_scale']
    return (*(center - scale / 2), *(center + scale / 2))


def check_model(model: BaseModel, *transformers: type[nn.Module]) -> PRTRHead:
    """Check that a model is a two-stage one with :class:`PRTRHead`.

    Args:
        model (BaseModel): A pose estimator
        *transformers (type): Classes of which its transformer must be one.
            Defaults to any

    Returns:
        PRTRHead: The head of the model.

    Raises:
        TypeError: If the model is of another kind.
    """
    head = getattr(model, 'head', None)
    if not (isinstance(model, TopdownPoseEstimator) and isinstance(head, PRTRHead)):
        raise TypeError(
            f'This needs a TopdownPoseEstimator with PRTRHead, but the model is '
            f'{type(model).__name__} with {type(head).__name__}. For PRTRCascade use '
            'tools/visualizations/cascade.py.'
        )
    if transformers and not isinstance(head.transformer, transformers):
        raise TypeError(
            f'This needs a PRTRHead with {" or ".join(kind.__name__ for kind in transformers)}, '
            f'but its transformer is {type(head.transformer).__name__}.'
        )
    return head


def to_index(name: str, number: int | None, count: int) -> int:
    """Index of something that users count from 1, by default the last one.

    Raises:
        ValueError: If there is no such number.
    """
    if number is None:
        return count - 1
    if not 1 <= number <= count:
        raise ValueError(f'{name} must be from 1 to {count}, but is {number}.')
    return number - 1


@contextmanager
def record_arguments(*modules: nn.Module) -> Iterator[dict[nn.Module, dict[str, Any]]]:
    """Record the arguments that modules are called with.

    Args:
        *modules (nn.Module): The modules, which are not changed

    Yields:
        Dict[nn.Module, Dict[str, Any]]: For each module the arguments of its
        last call by name, without omitted ones. Filled as the modules run.
    """
    recorded: dict[nn.Module, dict[str, Any]] = {}

    def record(module: nn.Module, args: tuple, kwargs: dict) -> None:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        recorded[module] = bound.arguments

    hooks = [m.register_forward_pre_hook(record, with_kwargs=True) for m in modules]
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def record_results(*modules: nn.Module) -> Iterator[dict[nn.Module, Any]]:
    """Record what modules return.

    Args:
        *modules (nn.Module): The modules, which are not changed

    Yields:
        Dict[nn.Module, Any]: For each module the result of its last call.
        Filled as the modules run.
    """
    recorded: dict[nn.Module, Any] = {}
    hooks = [
        m.register_forward_hook(lambda module, _, result: recorded.__setitem__(module, result))
        for m in modules
    ]
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()
