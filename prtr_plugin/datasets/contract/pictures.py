import os.path as osp
import random
import time

import numpy as np
from PIL import Image

from .section import Section

ORIENTATION = 0x0112


def displayed_size(path: str) -> tuple[int, int]:
    """Width and height of a picture as it is loaded, from the head of its file.

    Args:
        path (str): Picture

    Returns:
        tuple[int, int]: Width and height, turned as its EXIF data say.

    Raises:
        OSError: If it is not a picture.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error
    return (height, width) if turned else (width, height)


def check_pictures(images: Section, img_dir: str, needed: np.ndarray, seconds: float) -> None:
    """Check that pictures exist and have the size that the file says.

    No picture is decoded.

    Args:
        images (Section): Entries of the pictures, which get the findings
        img_dir (str): Folder that their ``file_name`` is in
        needed (np.ndarray): Whose absence is an error, in shape (N, )
        seconds (float): Time for reading sizes, in random order if it is not
            enough for all
    """
    paths = {
        i: osp.join(img_dir, name)
        for i, name in enumerate(images.column('file_name'))
        if isinstance(name, str) and '\0' not in name
    }
    exists = np.ones(len(images), bool)
    for i, path in paths.items():
        exists[i] = osp.isfile(path)
    problem = f'does not exist in {img_dir or "the current folder"}'
    remedy = 'Correct data_prefix or file_name, or add the picture.'
    images.add(~exists & needed, 'file_name', problem, remedy)
    images.add(~exists & ~needed, 'file_name', f'{problem}; nobody uses it', remedy, 'warning')

    order = [i for i in paths if exists[i]]
    random.Random(0).shuffle(order)
    stop, unreadable, done = time.monotonic() + seconds, np.zeros(len(images), bool), 0
    other: dict[int, tuple[int, int]] = {}
    for i in order:
        if time.monotonic() > stop:
            problem = f'has the right size in {done} pictures; the others were not compared in time'
            images.add_whole('width', None, problem, 'Give more time for it.', 'warning')
            break
        done += 1
        row = images.rows[i]
        size = row.get('width'), row.get('height')
        try:
            found = displayed_size(paths[i])
        except OSError:
            unreadable[i] = True
            continue
        # sizes that are no numbers are another problem
        if found != size and all(isinstance(length, int) for length in size):
            other[i] = found
    if other:
        first = min(other)
        row, (width, height) = images.rows[first], other[first]
        remedy = 'Correct them.'
        with Image.open(paths[first]) as image:
            if image.size != (width, height):
                remedy = (
                    'EXIF data turn the picture: write it without them, or turn sizes, boxes and '
                    'joints as well.'
                )
        images.add(
            [i in other for i in range(len(images))],
            'width',
            f'and height are not those of the picture: {row["file_name"]} is {width} wide and '
            f'{height} high when it is loaded, not {row["width"]} and {row["height"]}',
            remedy,
        )
    problem = 'is not a picture'
    images.add(unreadable & needed, 'file_name', problem, 'Replace or remove it.')
    images.add(unreadable & ~needed, 'file_name', problem, 'Replace or remove it.', 'warning')
