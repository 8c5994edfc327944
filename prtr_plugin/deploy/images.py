"""Images and boxes as users give them, for a model that takes uint8.

Like reader.py beside it, this file needs nothing else from the project.
"""

import os
from collections.abc import Sequence

import cv2
import numpy as np


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file, in shape (H, W, 3), BGR, uint8.

    Raises:
        OSError: If the file does not exist or may not be read.
        ValueError: If it is not an image, or damaged.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f'The file "{path}" does not exist.')
    if not os.path.isfile(path):
        raise ValueError(f'"{path}" is not a file.')
    with open(path, 'rb') as file:
        return decode_image(file.read(), path)


def decode_image(content: bytes, name: str | os.PathLike) -> np.ndarray:
    """Like :func:`read_image`, from the content of a file."""
    reason = 'it is empty'
    if content:
        try:
            pixels = np.frombuffer(content, np.uint8)
            image = cv2.imdecode(pixels, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            if image is not None and image.dtype == np.uint16:
                image = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
        except cv2.error as error:
            image, reason = None, str(error.err)
        else:
            reason = 'OpenCV does not know its format, or it is damaged or cut off'
        if image is not None:
            if image.dtype == np.uint8 and not _is_cut_off(content):
                return image
            reason = (
                f'it has pixels of {image.dtype}' if image.dtype != np.uint8 else 'it is cut off'
            )
    raise ValueError(
        f'The file "{name}" cannot be read as an image: {reason}. '
        'Get it again, or convert it to JPEG or PNG.'
    )


def _is_cut_off(content: bytes) -> bool:
    """Whether a JPEG file lacks its end, which OpenCV fills with grey."""
    start = 2
    while content[:2] == b'\xff\xd8' and content[start : start + 1] == b'\xff':
        if content[start + 1] == 0xDA:  # pixels follow, in which these bytes do not occur
            return b'\xff\xd9' not in content[start:]
        # a segment, such as a small picture, which has an end of its own
        start += 2 + int.from_bytes(content[start + 2 : start + 4], 'big')
    return False


def to_uint8(image: np.ndarray, name: str) -> np.ndarray:
    """An image with values from 0 to 255, if its own have one meaning.

    Args:
        image (np.ndarray): In shape (H, W, 3): uint8 or whole numbers of
            another type from 0 to 255, floats from 0 to 1, or bool
        name (str): What to call it in an error

    Returns:
        np.ndarray: The same in uint8.

    Raises:
        ValueError: If it has another shape, type or range.
    """
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f'{name} must have shape (H, W, 3), but has {image.shape}.')
    if image.dtype == np.uint8:
        return image
    found = ''
    if image.dtype.kind in 'biuf':
        low, high = image.min(), image.max()
        if low >= 0 and high <= 1 and image.dtype.kind in 'bf':
            return np.rint(image.astype(np.float32) * 255).astype(np.uint8)
        if low >= 0 and high <= 255 and (image == np.rint(image)).all():
            return image.astype(np.uint8)
        found = f' with values from {low:g} to {high:g}'
    raise ValueError(
        f'{name} must be of dtype uint8 with values from 0 to 255, or of floats from 0 to 1, but '
        f'is of {image.dtype}{found}. Scale it to that range and convert it with astype(np.uint8).'
    )


def check_boxes(boxes: Sequence | np.ndarray, size: Sequence[int], name: str) -> np.ndarray:
    """Check boxes in [x1, y1, x2, y2], in shape (N, 4), of an image of a size (w, h).

    Raises:
        ValueError: If they are not numbers, have no area, or lie outside the image.
    """
    array = np.asarray(boxes, np.float32)
    # a comparison with NaN is false
    valid = (array[:, :2] < array[:, 2:]) & (abs(array) < 1e6).all(axis=1, keepdims=True)
    inside = (array[:, 2:] > 0) & (array[:, :2] < np.array(size))
    for good, problem in (
        (valid, 'have numbers with x1 < x2 and y1 < y2 in [x1, y1, x2, y2]'),
        (inside, f'overlap the image of {size[0]}x{size[1]} pixels'),
    ):
        if not good.all():
            wrong = array[~good.all(axis=1)].tolist()
            raise ValueError(f'{name} must {problem}, but has {wrong}.')
    return array
