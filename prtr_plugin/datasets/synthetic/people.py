import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path

import cv2
from tqdm import tqdm

from ...fileio import write_folder
from .poses import KEYPOINTS
from .scenes import make_picture

VERSION = 1  # to be increased when the same seed gives other pictures
SPLITS = ('train2017', 'val2017')
# 1-based, as in COCO
SKELETON = [
    [16, 14],
    [14, 12],
    [17, 15],
    [15, 13],
    [12, 13],
    [6, 12],
    [7, 13],
    [6, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [9, 11],
    [2, 3],
    [1, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
    [5, 7],
]


def generate_people(
    out_dir: str | Path,
    num_train: int = 1500,
    num_val: int = 150,
    max_people: int = 4,
    image_size: Sequence[int] = (320, 240),
    seed: int = 0,
    force: bool = False,
) -> bool:
    """Write a dataset of synthetic people in COCO keypoint layout.

    ``train2017/*.jpg``, ``val2017/*.jpg`` and
    ``annotations/person_keypoints_{train,val}2017.json``: articulated figures
    with 17 joints over cluttered backgrounds, read by mmpose's
    ``CocoDataset`` and scored by ``CocoMetric`` unchanged.

    - ``v`` is 2 for visible joints, 1 for occluded ones, and 0 (with
      x = y = 0) for joints outside the picture and for nose and eyes on the
      far side of a head. About a quarter of the people are seen from behind.
    - ``bbox``, ``area`` and ``segmentation`` describe the whole silhouette
      clipped to the picture, including occluded parts.
    - Every picture depends only on the seed, the split and its index.

    Args:
        out_dir (str | Path): Folder to create. It appears once it is complete
        num_train (int): Number of training images. Defaults to 1500
        num_val (int): Number of validation images. Defaults to 150
        max_people (int): Maximum number of people in an image. Defaults to 4
        image_size (Sequence[int]): Width and height of the images in pixels.
            Defaults to (320, 240)
        seed (int): The same seed gives the same dataset. Defaults to 0
        force (bool): Whether to replace a dataset that was made with other
            settings. Defaults to ``False``

    Returns:
        bool: Whether it was written: False if the folder already holds exactly
        this dataset.

    Raises:
        ValueError: If a number is out of range.
        FileExistsError: If the folder holds a dataset with other settings and
            ``force`` is not set, or if it holds anything else.
        OSError: If the folder cannot be written.

    Example:
        >>> from prtr_plugin.datasets import generate_people
        >>> generate_people('data/synthetic_people')
    """
    numbers = dict(seed=seed, num_train=num_train, num_val=num_val, max_people=max_people)
    limits = dict(seed=(0, 2**32), num_train=(1, 999999), num_val=(1, 999999), max_people=(1, 20))
    for name, value in numbers.items():
        low, high = limits[name]
        if not low <= value <= high:
            raise ValueError(f'{name} must be between {low} and {high}, but got {value}.')
    if len(image_size) != 2 or min(image_size) < 64 or max(image_size) > 4096:
        raise ValueError(
            'image_size must be a width and a height between 64 and 4096 pixels, '
            f'but got {image_size}.'
        )
    settings = dict(version=VERSION, **numbers, image_size=list(image_size))
    out_dir = Path(out_dir).resolve()
    if out_dir.is_dir() and any(out_dir.iterdir()):
        found = _read_settings(out_dir)
        if found == settings and not force:
            return False
        if not force:
            raise FileExistsError(
                f'{out_dir} holds a dataset with other settings, {found}: give '
                'another folder, or replace the dataset with the option "force".'
            )
    with write_folder(out_dir, overwrite=True) as folder:
        _write_dataset(folder, settings)
    return True


def _read_settings(folder: Path) -> dict:
    """The settings of an existing dataset.

    Raises:
        FileExistsError: If the folder holds anything else, which must never be
            replaced.
    """
    try:
        settings = json.loads((folder / 'settings.json').read_text())
        known = 'num_train' in settings
    except (OSError, TypeError, ValueError):
        known = False
    if not known:
        raise FileExistsError(
            f'{folder} is not empty and does not hold synthetic people: give another folder.'
        )
    return settings


def _write_dataset(out_dir: Path, settings: dict) -> None:
    """Write both splits, the annotations and settings.json."""
    category = dict(
        id=1, name='person', supercategory='person', keypoints=KEYPOINTS, skeleton=SKELETON
    )
    (out_dir / 'annotations').mkdir()
    with _worker_pool() as pool:
        for number, split in enumerate(SPLITS):
            folder = out_dir / split
            folder.mkdir()
            count = settings['num_val' if number else 'num_train']
            job = partial(
                _write_picture,
                folder=str(folder),
                split=number,
                seed=settings['seed'],
                size=tuple(settings['image_size']),
                max_people=settings['max_people'],
            )
            results = list(
                tqdm(pool.imap(job, range(count), 8), desc=split, total=count, unit='img')
            )
            people = [person for _, found in results for person in found]
            content = dict(
                info=dict(description='synthetic people', **settings),
                licenses=[],
                categories=[category],
                images=[info for info, _ in results],
                annotations=people,
            )
            path = out_dir / 'annotations' / f'person_keypoints_{split}.json'
            path.write_text(json.dumps(content))
            print(f'{split}: {count} images, {len(people)} people')
    (out_dir / 'settings.json').write_text(json.dumps(settings, indent=2))


@contextmanager
def _worker_pool() -> Iterator[Pool]:
    """Worker processes in which OpenCV has no threads, as the images are made in parallel.

    It has none in this process meanwhile, either: a forked worker would wait
    forever for threads that only its parent has.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with multiprocessing.Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield pool
    finally:
        cv2.setNumThreads(threads)


def _write_picture(
    index: int, folder: str, split: int, seed: int, size: tuple[int, int], max_people: int
) -> tuple[dict, list[dict]]:
    """Write one picture and return its entries in the annotation file."""
    image, people = make_picture(seed, split, index, size, max_people)
    image_id = split * 1000000 + index + 1
    name = f'{image_id:012d}.jpg'
    if not cv2.imwrite(os.path.join(folder, name), image, [cv2.IMWRITE_JPEG_QUALITY, 93]):
        raise OSError(f'{os.path.join(folder, name)} cannot be written.')
    info = dict(id=image_id, file_name=name, width=size[0], height=size[1])
    for number, person in enumerate(people):
        person.update(id=image_id * 100 + number, image_id=image_id)
    return info, people
