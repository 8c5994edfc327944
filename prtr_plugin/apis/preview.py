import tempfile
from pathlib import Path

import mmcv
import numpy as np
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS

from ..datasets import check_data_files
from ..fileio import check_output, write_file
from ..visualization import draw_people
from .config import load_config
from .data_check import find_own_config
from .prediction import Person
from .training import plan_training


def preview(
    source: str | Path, out: str | Path, number: int = 16, columns: int = 4, seed: int = 0
) -> np.ndarray:
    """Draw augmented training samples, as the model gets them, in one picture.

    Args:
        source (str | Path): Own data, see :func:`plan_training`, or the name
            or file of a config
        out (str | Path): Picture to write
        number (int): Number of samples. Defaults to 16
        columns (int): Number in a row. Defaults to 4
        seed (int): Seed of choice and augmentation. Defaults to 0

    Returns:
        np.ndarray: The picture in shape (H, W, 3), BGR.

    Raises:
        FileNotFoundError: If a file does not exist.
        OSError: If the picture cannot be written.
        ValueError: If the data cannot be used, or ``number`` or ``columns``
            is below 1.
    """
    if min(number, columns) < 1:
        raise ValueError(f'number and columns must be at least 1, but are {number} and {columns}.')
    check_output(out, force=True, formats=('.png', '.jpg', '.jpeg'), inputs=[source])
    config = find_own_config(source)
    with tempfile.TemporaryDirectory() as folder:
        if config is None:
            config = str(plan_training(source, work_dir=Path(folder) / 'run').config)
        cfg = load_config(config)
        check_data_files(cfg, ('train',))
        with DefaultScope.overwrite_default_scope('mmpose'):
            dataset = DATASETS.build(cfg.train_dataloader.dataset)
    np.random.seed(seed)
    chosen = np.random.permutation(len(dataset))[:number]
    tiles = [_tile(dataset[int(i)], dataset.metainfo) for i in chosen]
    height, width = np.max([tile.shape[:2] for tile in tiles], axis=0)
    tiles = [mmcv.impad(tile, shape=(height, width), pad_val=(255, 255, 255)) for tile in tiles]
    blank = np.full((height, width, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    picture = np.vstack(rows)
    with write_file(out) as file:
        mmcv.imwrite(picture, str(file))
    return picture


def _tile(data: dict, meta: dict) -> np.ndarray:
    """A sample of a training pipeline, drawn."""
    pixels = np.ascontiguousarray(data['inputs'].numpy().transpose(1, 2, 0))
    labels = data['data_samples'].gt_instance_labels
    height, width = pixels.shape[:2]
    if 'keypoint_labels' in labels:  # shares of a crop
        points = np.asarray(labels.keypoint_labels) * (width, height)
        weights = np.asarray(labels.keypoint_weights)
    else:  # pixels of a whole picture
        points, weights = np.asarray(labels.keypoints), np.asarray(labels.keypoints_visible)
    zoom = max(1, round(240 / max(height, width)))
    pixels = mmcv.imrescale(pixels, zoom) if zoom > 1 else pixels
    people = [
        Person(
            keypoints=(zoom * joints).astype(np.float32),
            keypoint_scores=seen.astype(np.float32),
            bbox=np.zeros(4, np.float32),
            bbox_score=1.0,
            keypoint_names=(),
        )
        for joints, seen in zip(points, weights)
    ]
    drawn = draw_people(pixels, people, meta, with_boxes=False)
    return mmcv.impad(drawn, padding=2, pad_val=(255, 255, 255))
