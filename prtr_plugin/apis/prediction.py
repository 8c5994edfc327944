from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from ..models.estimators import PRTRCascade

Image = str | Path | np.ndarray


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
    model: nn.Module,
    images: Sequence[Image],
    bboxes: Sequence[np.ndarray | None] | None = None,
    batch_size: int = 32,
    score_thr: float = 0.3,
) -> list[list[Person]]:
    """Read the people of some images.

    A top-down model reads the boxes that it is given, those of all images in
    common batches. A cascade finds the people itself.

    Args:
        model (nn.Module): What :func:`load_model` returns, or ``init_model``
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
    if bboxes is None:
        bboxes = [None] * len(images)
    elif finds_people:
        raise ValueError(
            f'{type(model).__name__} finds the people itself: '
            'leave out bboxes, or take a top-down model.'
        )
    elif len(bboxes) != len(images):
        raise ValueError(
            f'bboxes must hold an array for each of the '
            f'{len(images)} images, but has {len(bboxes)}.'
        )

    meta, cfg = cast(dict, model.dataset_meta), cast(Config, model.cfg)
    id2name = meta['keypoint_id2name']
    names = tuple(id2name[i] for i in range(len(id2name)))
    people: list[list[Person]] = [[] for _ in images]
    with (
        DefaultScope.overwrite_default_scope('mmpose'),
        torch.no_grad(),
        model.score_threshold(score_thr) if isinstance(model, PRTRCascade) else nullcontext(),
    ):
        pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
        infos: Iterator[tuple[int, dict]]
        if finds_people:
            infos = ((i, dict(img=_read(image, i))) for i, image in enumerate(images))
        else:
            infos = _crops(images, bboxes, score_thr)
        data = ((i, pipeline({**meta, **info})) for i, info in infos)
        while True:
            batch = list(islice(data, batch_size))
            if not batch:
                break
            indices, inputs = zip(*batch)
            samples = cast(BaseModel, model).test_step(pseudo_collate(inputs))
            for i, sample in zip(indices, samples):
                people[i] += _to_people(sample.pred_instances, names)
    return people


def _read(image: Image, i: int) -> np.ndarray:
    """The pixels of an image, in shape (H, W, 3).

    Raises:
        FileNotFoundError: If it does not exist.
        TypeError: If it is neither a path nor an array.
        ValueError: If it is not an image.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f'images[{i}] must be of shape (H, W, 3), but is of {image.shape}.')
        return image
    if not isinstance(image, (str, Path)):
        raise TypeError(f'images[{i}] must be a path or an array, but is a {type(image).__name__}.')
    pixels = mmcv.imread(image)
    if pixels is None:
        raise ValueError(f'images[{i}], the file "{image}", is not an image.')
    return pixels


def _crops(
    images: Sequence[Image], bboxes: Sequence[np.ndarray | None], score_thr: float
) -> Iterator[tuple[int, dict]]:
    """(index of the image, data for the pipeline) of each person."""
    for i, (image, boxes) in enumerate(zip(images, bboxes)):
        pixels = _read(image, i)
        if boxes is None:
            boxes = np.array([[0, 0, pixels.shape[1], pixels.shape[0]]])
        boxes = _check_boxes(boxes, i)
        for box in boxes[boxes[:, 4] > score_thr]:
            yield i, dict(img=pixels, bbox=box[None, :4], bbox_score=box[4:])


def _check_boxes(boxes: np.ndarray, i: int) -> np.ndarray:
    """Boxes with scores in shape (N, 5).

    Raises:
        ValueError: If they are not boxes.
    """
    boxes = np.array(boxes, dtype=np.float32)
    if not boxes.size:
        return boxes.reshape(0, 5)
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f'bboxes[{i}] must be of shape (N, 4) or (N, 5), but is of {boxes.shape}.')
    if boxes.shape[1] == 4:
        boxes = np.pad(boxes, ((0, 0), (0, 1)), constant_values=1)
    valid = (boxes[:, :2] < boxes[:, 2:4]) & np.isfinite(boxes[:, 2:4])
    wrong = boxes[~valid.all(axis=1), :4]
    if len(wrong):
        raise ValueError(
            f'bboxes[{i}] must have x1 < x2 and y1 < y2 in '
            f'[x1, y1, x2, y2], but has {wrong.tolist()}.'
        )
    return boxes


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
