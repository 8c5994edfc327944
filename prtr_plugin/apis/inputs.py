"""Model inputs from images and datasets."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dataset import BaseDataset, Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from torch.utils.data import DataLoader

from ..models.estimators import PRTRCascade

Image = str | Path | np.ndarray


def prepare_images(
    model: BaseModel,
    images: Sequence[Image],
    bboxes: Sequence[np.ndarray | None] | None = None,
    score_thr: float = 0.3,
) -> Iterator[tuple[int, dict]]:
    """Run images through the test pipeline of a model's config.

    Args:
        model (BaseModel): See :func:`predict`
        images (Sequence[str | Path | np.ndarray]): See :func:`predict`
        bboxes (Sequence[np.ndarray], optional): See :func:`predict`. A
            cascade ignores them
        score_thr (float): See :func:`predict`. Defaults to 0.3

    Yields:
        tuple[int, dict]: Index of the image, and the ``inputs`` and
        ``data_samples`` of one person or, for a cascade, of the whole image.

    Raises:
        FileNotFoundError: If an image does not exist.
        TypeError: If an image is neither a path nor an array.
        ValueError: If a file is not an image, an image has the wrong shape or
            dtype, or a box the wrong shape.
    """
    with DefaultScope.overwrite_default_scope('mmpose'):
        pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    for i, image in enumerate(images):
        pixels = read_image(image, i)
        data = dict(model.dataset_meta, img=pixels)
        if not isinstance(image, np.ndarray):
            data['img_path'] = str(image)
        if isinstance(model, PRTRCascade):
            yield i, pipeline(data)
            continue
        boxes = bboxes[i] if bboxes is not None else None
        if boxes is None:
            boxes = np.array([[0, 0, pixels.shape[1], pixels.shape[0]]])
        boxes = check_boxes(boxes, i)
        for box in boxes[boxes[:, 4] > score_thr]:
            yield i, pipeline(dict(data, bbox=box[None, :4], bbox_score=box[4:]))


def batch_of_images(
    model: BaseModel, images: Sequence[Image], bboxes: Sequence[np.ndarray | None] | None = None
) -> dict:
    """Make a batch of people or, for a cascade, of images.

    Args:
        model (BaseModel): See :func:`predict`
        images (Sequence[str | Path | np.ndarray]): See :func:`predict`
        bboxes (Sequence[np.ndarray], optional): See :func:`predict`

    Returns:
        dict: ``inputs`` and ``data_samples``, as from a dataloader.

    Raises:
        FileNotFoundError: If an image does not exist.
        TypeError: If an image is neither a path nor an array.
        ValueError: If a file is not an image, or an image or a box has the
            wrong shape.
    """
    return pseudo_collate([data for _, data in prepare_images(model, images, bboxes)])


def batch_of_dataset(model: BaseModel, number: int) -> dict:
    """Make a batch of evenly spaced entries of the test set of a model's config.

    Args:
        model (BaseModel): See :func:`predict`
        number (int): Maximum number of entries

    Returns:
        dict: ``inputs`` and ``data_samples``, as from a dataloader.
    """
    dataset = build_dataset(model)
    chosen = np.linspace(0, len(dataset) - 1, min(number, len(dataset)))
    return pseudo_collate([dataset[i] for i in chosen.round().astype(int)])


def build_dataset(model: BaseModel, split: str = 'test') -> BaseDataset:
    """Build a dataset of a model's config, in test mode.

    Args:
        model (BaseModel): See :func:`predict`
        split (str): ``'train'``, ``'val'`` or ``'test'``. All use the test
            pipeline. Defaults to ``'test'``

    Returns:
        BaseDataset: The dataset.
    """
    cfg = copy.deepcopy(model.cfg[f'{split}_dataloader'].dataset)
    cfg.update(pipeline=model.cfg.test_dataloader.dataset.pipeline, test_mode=True)
    with DefaultScope.overwrite_default_scope('mmpose'):
        return DATASETS.build(cfg)


def build_test_dataloader(model: BaseModel) -> DataLoader:
    """Build the test dataloader of a model's config.

    Args:
        model (BaseModel): See :func:`predict`

    Returns:
        DataLoader: Batches of ``inputs`` and ``data_samples``.
    """
    with DefaultScope.overwrite_default_scope('mmpose'):
        return Runner.build_dataloader(model.cfg.test_dataloader)


def read_image(image: Image, i: int) -> np.ndarray:
    """The pixels of an image in shape (H, W, 3), BGR.

    Raises:
        FileNotFoundError: If it does not exist.
        TypeError: If it is neither a path nor an array.
        ValueError: If it is not an image of uint8.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f'images[{i}] must have shape (H, W, 3), but has {image.shape}.')
        if image.dtype != np.uint8:
            raise ValueError(
                f'images[{i}] must be of dtype uint8 with values from 0 to 255, but is of '
                f'{image.dtype}. Scale it to that range and convert it with astype(np.uint8).'
            )
        return image
    if not isinstance(image, (str, Path)):
        raise TypeError(f'images[{i}] must be a path or an array, but is a {type(image).__name__}.')
    pixels = mmcv.imread(image)
    if pixels is None:
        raise ValueError(f'images[{i}], the file "{image}", is not an image.')
    return pixels


def check_boxes(boxes: np.ndarray, i: int) -> np.ndarray:
    """Boxes with scores in shape (N, 5).

    Raises:
        ValueError: If their shape or their corners are wrong.
    """
    boxes = np.array(boxes, dtype=np.float32)
    if not boxes.size:
        return boxes.reshape(0, 5)
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f'bboxes[{i}] must have shape (N, 4) or (N, 5), but has {boxes.shape}.')
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
