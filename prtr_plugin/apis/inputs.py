"""Model inputs from images and datasets."""

import copy
import glob
import mimetypes
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose, pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from torch.utils.data import DataLoader

from ..datasets import check_data_files
from ..deploy.reader import check_boxes, decode_image, read_image, to_uint8
from ..models.estimators import PRTRCascade

Image = str | Path | np.ndarray


def find_images(pattern: str | Path) -> list[str]:
    """The image files of a folder, or those that a pattern matches.

    Args:
        pattern (str | Path): A folder, whose files count by the endings of
            their names, or a pattern such as ``'people/*.jpg'``, with ``**``
            for folders inside of folders

    Returns:
        List[str]: Their paths, sorted. Hidden files are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If it is neither a folder nor a pattern.
    """
    pattern = str(pattern)
    if os.path.isdir(pattern):
        found = glob.glob(os.path.join(glob.escape(pattern), '*'))
        found = [p for p in found if (mimetypes.guess_type(p)[0] or '').startswith('image/')]
    elif glob.has_magic(pattern) and not os.path.exists(pattern):
        found = [p for p in glob.glob(pattern, recursive=True) if not os.path.isdir(p)]
    else:
        raise TypeError(
            'images must be a list of paths or of arrays in shape (H, W, 3), a folder, or a '
            f'pattern such as "people/*.jpg", but is "{pattern}". Put a single image into a list.'
        )
    if not found:
        raise FileNotFoundError(f'There are no images in "{pattern}".')
    return sorted(found)


def prepare_images(
    model: BaseModel,
    images: Sequence[Image],
    bboxes: Sequence[np.ndarray | None] | None = None,
    score_thr: float = 0.3,
    on_error: Literal['raise', 'skip'] = 'raise',
    allow_urls: bool = False,
) -> Iterator[tuple[int, dict]]:
    """Run images through the test pipeline of a model's config.

    Args:
        model (BaseModel): See :func:`predict`
        images (Sequence[str | Path | np.ndarray]): See :func:`predict`
        bboxes (Sequence[np.ndarray], optional): See :func:`predict`. A
            cascade ignores them
        score_thr (float): See :func:`predict`. Defaults to 0.3
        on_error (str): See :func:`predict`. Defaults to ``'raise'``
        allow_urls (bool): See :func:`predict`. Defaults to ``False``

    Yields:
        tuple[int, dict]: Index of the image, and the ``inputs`` and
        ``data_samples`` of one person or, for a cascade, of the whole image.

    Raises:
        OSError: If an image cannot be opened; ``FileNotFoundError`` if it
            does not exist.
        TypeError: If an image is neither a path nor an array.
        ValueError: If a file is not an image or a URL, an image has the wrong
            shape, dtype or range, or a box is not valid.
    """
    with DefaultScope.overwrite_default_scope('mmpose'):
        pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)

    def prepare(i: int, image: Image) -> Iterator[dict]:
        pixels = load_image(image, i, allow_urls)
        size = pixels.shape[1::-1]
        data = dict(model.dataset_meta, img=pixels)
        if not isinstance(image, np.ndarray):
            data['img_path'] = str(image)
        people: list[dict] = [{}]
        if not isinstance(model, PRTRCascade):
            boxes = bboxes[i] if bboxes is not None else None
            if boxes is None:
                boxes = np.array([[0, 0, *size]])
            boxes = check_scored_boxes(boxes, size, i)
            boxes = boxes[boxes[:, 4] > score_thr]
            people = [dict(bbox=box[None, :4], bbox_score=box[4:]) for box in boxes]
        for person in people:
            try:
                yield pipeline(dict(data, **person))
            except cv2.error as error:
                raise thin_image_error(pixels, describe(image, i)) from error

    for i, image in enumerate(images):
        try:
            # all people of an image or none
            prepared = list(prepare(i, image))
        except (OSError, TypeError, ValueError) as error:
            if on_error == 'raise':
                raise
            warnings.warn(f'Skipped: {error}', stacklevel=2)
        else:
            yield from ((i, data) for data in prepared)


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
        OSError, TypeError, ValueError: See :func:`prepare_images`.
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

    Its people are those of the annotations, and not of a ``bbox_file``, whose
    detections have no joints to compare with.

    Args:
        model (BaseModel): See :func:`predict`
        split (str): ``'train'``, ``'val'`` or ``'test'``. All use the test
            pipeline. Defaults to ``'test'``

    Returns:
        BaseDataset: The dataset.

    Raises:
        FileNotFoundError: If a file of it does not exist.
        ValueError: If an annotation file is damaged.
    """
    cfg = _annotated(model.cfg, split)
    dataset = cfg[f'{split}_dataloader'].dataset
    dataset.update(pipeline=cfg.test_dataloader.dataset.pipeline, test_mode=True)
    with DefaultScope.overwrite_default_scope('mmpose'):
        return DATASETS.build(dataset)


def _annotated(cfg: Config, split: str) -> Config:
    """A config with the people of the annotations, whose files are checked."""
    cfg = copy.deepcopy(cfg)
    if has_annotations(cfg, split):
        cfg[f'{split}_dataloader'].dataset.pop('bbox_file', None)
    check_data_files(cfg, [split])
    return cfg


def has_annotations(cfg: Config, split: str) -> bool:
    """Whether predictions are measured, and not only written down to be submitted."""
    metrics = cfg.get(f'{split}_evaluator') or ()
    metrics = [metrics] if isinstance(metrics, dict) else metrics
    return not metrics or not all(metric.get('format_only') for metric in metrics)


def build_test_dataloader(model: BaseModel) -> DataLoader:
    """Build the test dataloader of a model's config.

    See :func:`build_dataset` for its people.

    Args:
        model (BaseModel): See :func:`predict`

    Returns:
        DataLoader: Batches of ``inputs`` and ``data_samples``.

    Raises:
        FileNotFoundError: If a file of the dataset does not exist.
        ValueError: If an annotation file is damaged.
    """
    cfg = _annotated(model.cfg, 'test')
    with DefaultScope.overwrite_default_scope('mmpose'):
        return Runner.build_dataloader(cfg.test_dataloader)


def describe(image: Image, i: int) -> str:
    """What to call an image in an error."""
    return f'images[{i}]' if isinstance(image, np.ndarray) else f'images[{i}], "{image}",'


def thin_image_error(pixels: np.ndarray, name: str) -> ValueError:
    """The error for an image that OpenCV cannot resize."""
    height, width = pixels.shape[:2]
    return ValueError(
        f'{name} has {width}x{height} pixels, which cannot be resized for the network: it is '
        'too thin or too large. Crop it.'
    )


def load_image(image: Image, i: int, allow_urls: bool = False) -> np.ndarray:
    """The pixels of an image in shape (H, W, 3), BGR, uint8.

    Raises:
        OSError: If it cannot be opened; ``FileNotFoundError`` if it does not
            exist.
        TypeError: If it is neither a path nor an array.
        ValueError: If it is not an image or a URL, or has another shape,
            dtype or range.
    """
    if isinstance(image, np.ndarray):
        return to_uint8(image, f'images[{i}]')
    if not isinstance(image, (str, Path)):
        raise TypeError(f'images[{i}] must be a path or an array, but is a {type(image).__name__}.')
    try:
        if '://' not in str(image):
            return read_image(image)
        if not allow_urls:
            raise ValueError(f'"{image}" is a URL. Set allow_urls=True to fetch it.')
        return decode_image(fileio.get(str(image)), image)
    except (OSError, ValueError) as error:
        raise type(error)(f'images[{i}]: {error}') from error


def check_scored_boxes(boxes: np.ndarray, size: Sequence[int], i: int) -> np.ndarray:
    """Boxes with scores in shape (N, 5), of an image of a size (w, h).

    Raises:
        ValueError: If their shape, corners or scores are wrong.
    """
    name = f'bboxes[{i}]'
    try:
        boxes = np.array(boxes, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} must be an array of numbers, but is {boxes!r:.80}.') from error
    if not boxes.size:
        return boxes.reshape(0, 5)
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f'{name} must have shape (N, 4) or (N, 5), but has {boxes.shape}.')
    if boxes.shape[1] == 4:
        boxes = np.pad(boxes, ((0, 0), (0, 1)), constant_values=1)
    if not np.isfinite(boxes[:, 4]).all():
        raise ValueError(f'{name} must have finite scores, but has {boxes[:, 4].tolist()}.')
    check_boxes(boxes[:, :4], size, name)
    return boxes
