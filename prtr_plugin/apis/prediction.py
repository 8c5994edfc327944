from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from ..models.estimators import PRTRCascade
from .inputs import Image, prepare_images


@dataclass(frozen=True, eq=False)
class Person:
    """A person that a model has found or read.

    Attributes:
        keypoints (np.ndarray): In pixels of the image, in shape (K, 2)
        keypoint_scores (np.ndarray): In shape (K, )
        bbox (np.ndarray): The box in [x1, y1, x2, y2], in pixels of the
            image, in shape (4, )
        bbox_score (float): Score of the box; 1 for a given one without score
        keypoint_names (Tuple[str, ...]): Names of the K joints
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    bbox: np.ndarray
    bbox_score: float
    keypoint_names: tuple[str, ...]


def predict(
    model: BaseModel,
    images: Sequence[Image],
    bboxes: Sequence[np.ndarray | None] | None = None,
    batch_size: int = 32,
    score_thr: float = 0.3,
) -> list[list[Person]]:
    """Read the people of some images.

    A top-down model reads the boxes that it is given, those of all images in
    common batches. A cascade finds the people itself.

    Args:
        model (BaseModel): What :func:`load_model` returns, or ``init_model``
            of mmpose
        images (Sequence[str | Path | np.ndarray]): Paths, or arrays in shape
            (H, W, 3) with BGR channels as cv2 reads them. Sizes may differ
        bboxes (Sequence[np.ndarray], optional): Boxes of the people of each
            image in [x1, y1, x2, y2], in shape (N_i, 4), or (N_i, 5) with a
            score. None instead of an image's boxes, or of all, stands for one
            box around the whole image. Only for top-down models
        batch_size (int): Number of people, or for a cascade of images, that
            go through the network at once. Has no effect on the results,
            except that a cascade pads images of different sizes. Defaults to
            32
        score_thr (float): Score that the box of a person exceeds; a box
            without score has 1. Defaults to 0.3

    Returns:
        List[List[Person]]: The people of each image, possibly none: those of
        a top-down model in the order of the boxes, those of a cascade from
        high to low score.

    Raises:
        FileNotFoundError: If an image does not exist.
        TypeError: If ``images`` is not a sequence of paths and arrays.
        ValueError: If an image cannot be read, a box is not valid, the lengths
            do not fit, or a cascade is given boxes.

    Example:
        >>> from prtr_plugin.apis import load_model, predict
        >>> model = load_model(name, weights)
        >>> for person in predict(model, ['a.jpg'])[0]:
        ...     print(dict(zip(person.keypoint_names, person.keypoints)))
    """
    finds_people = isinstance(model, PRTRCascade)
    if isinstance(images, (str, Path)) or getattr(images, 'ndim', 4) != 4:
        raise TypeError(
            'images must be a list of paths or of arrays in shape '
            '(H, W, 3). Put a single one into a list.'
        )
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, but got {batch_size}.')
    if bboxes is not None and finds_people:
        raise ValueError(
            f'{type(model).__name__} finds the people itself: '
            'leave out bboxes, or take a top-down model.'
        )
    if bboxes is not None and len(bboxes) != len(images):
        raise ValueError(
            f'bboxes must hold an array for each of the '
            f'{len(images)} images, but has {len(bboxes)}.'
        )

    id2name = model.dataset_meta['keypoint_id2name']
    names = tuple(id2name[i] for i in range(len(id2name)))
    people: list[list[Person]] = [[] for _ in images]
    with (
        DefaultScope.overwrite_default_scope('mmpose'),
        torch.no_grad(),
        model.score_threshold(score_thr) if finds_people else nullcontext(),
    ):
        data = prepare_images(model, images, bboxes, score_thr)
        while batch := list(islice(data, batch_size)):
            indices, inputs = zip(*batch)
            samples = model.test_step(pseudo_collate(inputs))
            for i, sample in zip(indices, samples):
                people[i] += _to_people(sample.pred_instances, names)
    return people


def _to_people(found: InstanceData, names: tuple[str, ...]) -> list[Person]:
    """Split mmpose's predictions of a crop or an image."""
    return [
        Person(
            keypoints=np.asarray(keypoints[:, :2], dtype=np.float32),
            keypoint_scores=np.asarray(scores, dtype=np.float32),
            bbox=np.asarray(bbox, dtype=np.float32),
            bbox_score=float(bbox_score),
            keypoint_names=names,
        )
        for keypoints, scores, bbox, bbox_score in zip(
            found.keypoints, found.keypoint_scores, found.bboxes, found.bbox_scores
        )
    ]
