from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from ..deploy.switches import check_model
from ..models.estimators import PRTRCascade
from ..models.estimators.cascade_data import check_score_thr
from ..visualization import draw_people
from .inputs import Image, find_images, load_image, prepare_images


@dataclass(frozen=True, eq=False)
class Person:
    """A person that a model has predicted.

    Attributes:
        keypoints (np.ndarray): In pixels of the image, in shape (K, 2)
        keypoint_scores (np.ndarray): In shape (K, )
        bbox (np.ndarray): The box in [x1, y1, x2, y2], in pixels of the
            image, in shape (4, )
        bbox_score (float): Score of the box, 1 if it was given without one
        keypoint_names (Tuple[str, ...]): Names of the K joints
        dataset_meta (dict, optional): Colours and links of the joints, for
            :func:`draw`
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    bbox: np.ndarray
    bbox_score: float
    keypoint_names: tuple[str, ...]
    dataset_meta: dict | None = field(default=None, repr=False)

    def to_dict(self) -> dict:
        """Plain numbers, such as for JSON.

        Returns:
            dict: ``bbox``, ``bbox_score``, and ``keypoints`` with
            [x, y, score] of each joint by its name.
        """
        points = np.column_stack((self.keypoints, self.keypoint_scores)).tolist()
        return dict(
            bbox=self.bbox.tolist(),
            bbox_score=self.bbox_score,
            keypoints=dict(zip(self.keypoint_names, points)),
        )


def predict(
    model: BaseModel,
    images: Sequence[Image] | str | Path,
    bboxes: Sequence[np.ndarray | None] | None = None,
    batch_size: int = 32,
    score_thr: float = 0.3,
    on_error: Literal['raise', 'skip'] = 'raise',
    allow_urls: bool = False,
) -> list[list[Person]]:
    """Predict the people in some images.

    A top-down model predicts the joints in given boxes; boxes of different
    images share batches. A cascade finds the people itself.

    Args:
        model (BaseModel): Model from :func:`load_model` or from mmpose's
            ``init_model``
        images (Sequence[str | Path | np.ndarray] | str | Path): Paths, or
            arrays in shape (H, W, 3) with BGR channels as cv2 reads them, of
            whole numbers from 0 to 255 or floats from 0 to 1. Sizes may
            differ. Or a folder, or a pattern such as ``'people/*.jpg'``: the
            files that :func:`find_images` lists
        bboxes (Sequence[np.ndarray], optional): Boxes of the people in each
            image in [x1, y1, x2, y2], in shape (N_i, 4), or (N_i, 5) with a
            score. None, for one image or for all, stands for one box around
            the whole image. Only for top-down models
        batch_size (int): Number of people (for a cascade: images) per forward
            pass. Does not affect the results, except that a cascade pads
            images of different sizes. Defaults to 32
        score_thr (float): Score above which the box of a person counts; a box
            without a score has 1. Defaults to 0.3
        on_error (str): ``'raise'`` for the error of the first image that
            cannot be used, or whose boxes cannot, ``'skip'`` for a warning
            and no people. Defaults to ``'raise'``
        allow_urls (bool): Whether to fetch images whose paths are URLs.
            Defaults to ``False``

    Returns:
        List[List[Person]]: The people in each image, possibly none: for a
        top-down model in the order of the boxes, for a cascade from high to
        low score.

    Raises:
        OSError: If an image cannot be opened; ``FileNotFoundError`` if it or
            the folder does not exist.
        TypeError: If ``images`` is not a sequence of paths and arrays, or
            ``model`` is not a model.
        ValueError: If a file is not an image, or a URL without
            ``allow_urls``; an array has another dtype or range; an image is
            too thin for the network; a box is not valid; ``bboxes`` and
            ``images`` differ in length; a cascade is given boxes; or another
            argument is out of range. The message names ``images[i]`` and its
            file, or ``bboxes[i]``.

    Example:
        >>> from prtr_plugin.apis import load_model, predict
        >>> model = load_model(name, weights)
        >>> for person in predict(model, ['a.jpg'])[0]:
        ...     print(dict(zip(person.keypoint_names, person.keypoints)))
    """
    check_model(model)
    finds_people = isinstance(model, PRTRCascade)
    if isinstance(images, (str, Path)):
        images = find_images(images)
    if not hasattr(images, '__len__') or getattr(images, 'ndim', 4) != 4:
        raise TypeError(
            'images must be a list of paths or of arrays in shape '
            f'(H, W, 3), but is a {type(images).__name__}. Put a single image into a list.'
        )
    check_score_thr(score_thr)
    if on_error not in ('raise', 'skip'):
        raise ValueError(f"on_error must be 'raise' or 'skip', but is {on_error!r}.")
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, but got {batch_size}.')
    if bboxes is not None and finds_people:
        raise ValueError(
            f'{type(model).__name__} finds the people itself: '
            'leave out bboxes, or use a top-down model.'
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
        data = prepare_images(model, images, bboxes, score_thr, on_error, allow_urls)
        while batch := list(islice(data, batch_size)):
            indices, inputs = zip(*batch)
            samples = model.test_step(pseudo_collate(inputs))
            for i, sample in zip(indices, samples):
                people[i] += _to_people(sample.pred_instances, names, model.dataset_meta)
    return people


def draw(image: Image, people: Sequence[Person], kpt_thr: float = 0.3) -> np.ndarray:
    """Draw people on a copy of a picture.

    Args:
        image (str | Path | np.ndarray): Path, or array in shape (H, W, 3), BGR
        people (Sequence[Person]): People that :func:`predict` found in it
        kpt_thr (float): Lowest score of a joint that is drawn. Defaults to 0.3

    Returns:
        np.ndarray: Picture in shape (H, W, 3), BGR, for ``cv2.imwrite``.

    Raises:
        OSError, TypeError, ValueError: See :func:`predict`.

    Example:
        >>> cv2.imwrite('drawn.jpg', draw('a.jpg', predict(model, ['a.jpg'])[0]))
    """
    check_score_thr(kpt_thr, 'kpt_thr')
    pixels = load_image(image, 0)
    meta = people[0].dataset_meta if people else None
    return draw_people(pixels, people, meta or {}, kpt_thr)


def to_coco(
    results: Sequence[Sequence[Person]], image_ids: Sequence[int], category_id: int = 1
) -> list[dict]:
    """COCO's layout for results, which its evaluation and other tools read.

    Args:
        results (Sequence[Sequence[Person]]): People of each image, from
            :func:`predict`
        image_ids (Sequence[int]): Number of each image in the annotations
        category_id (int): Number of the category. Defaults to 1

    Returns:
        List[dict]: One entry for each person. Its score is that of the box
        times the mean of the joints, as ``CocoMetric`` ranks people.

    Raises:
        ValueError: If there are not as many numbers as images.
    """
    if len(results) != len(image_ids):
        raise ValueError(f'There are {len(results)} results but {len(image_ids)} image_ids.')
    return [
        dict(
            image_id=image_id,
            category_id=category_id,
            bbox=[*person.bbox[:2].tolist(), *(person.bbox[2:] - person.bbox[:2]).tolist()],
            keypoints=np.column_stack((person.keypoints, person.keypoint_scores)).ravel().tolist(),
            score=person.bbox_score * float(person.keypoint_scores.mean()),
        )
        for image_id, people in zip(image_ids, results)
        for person in people
    ]


def _to_people(found: InstanceData, names: tuple[str, ...], dataset_meta: dict) -> list[Person]:
    """Split mmpose's predictions for a crop or an image into people."""
    return [
        Person(
            keypoints=np.asarray(keypoints[:, :2], dtype=np.float32),
            keypoint_scores=np.asarray(scores, dtype=np.float32),
            bbox=np.asarray(bbox, dtype=np.float32),
            bbox_score=float(bbox_score),
            keypoint_names=names,
            dataset_meta=dataset_meta,
        )
        for keypoints, scores, bbox, bbox_score in zip(
            found.keypoints, found.keypoint_scores, found.bboxes, found.bbox_scores
        )
    ]
