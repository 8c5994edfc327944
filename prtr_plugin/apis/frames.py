"""Pictures and frames of videos, read and written one after the other."""

import glob
import mimetypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
import numpy as np

from ..deploy.reader import read_image


class Source(NamedTuple):
    """A picture, a video or a camera.

    Attributes:
        path (str): Path, or the number of a camera
        name (str): Name of what is written, unlike that of all others
        kind (str): ``'image'``, ``'video'`` or ``'camera'``
        frames (int): Number of frames, 0 if that is not known
    """

    path: str
    name: str
    kind: str
    frames: int


class Frame(NamedTuple):
    """One picture.

    Attributes:
        source (Source): Where it is from
        number (int): Its number in a video, from 0
        fps (float): Frames per second of a video, 0 for a picture
        pixels (np.ndarray): In shape (H, W, 3), BGR, uint8
    """

    source: Source
    number: int
    fps: float
    pixels: np.ndarray


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """Find the pictures and videos that some inputs stand for.

    Args:
        inputs (Sequence[str | Path]): Pictures, videos, folders, patterns
            such as ``'*.jpg'``, and numbers of cameras

    Returns:
        List[Source]: The sources, those of folders and patterns sorted.

    Raises:
        FileNotFoundError: If an input does not exist, or stands for nothing.
    """
    paths: list[str] = []
    for text in map(str, inputs):
        if text.isdigit() and not Path(text).exists():
            paths.append(text)
        elif Path(text).is_dir():
            entries = sorted(p for p in Path(text).iterdir() if not p.name.startswith('.'))
            files = [str(p) for p in entries if p.is_file()]
            found = [p for p in files if _kind(p) in ('image', 'video')]
            if not found:
                below = f' itself; those of its folders are "{Path(text, "**", "*.jpg")}"'
                raise FileNotFoundError(
                    f'The folder "{text}" has no pictures and no videos'
                    f'{below if len(files) < len(entries) else ""}.'
                )
            paths += found
        elif glob.has_magic(text) and not Path(text).exists():
            found = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())
            if not found:
                raise FileNotFoundError(f'Nothing matches "{text}".')
            paths += found
        elif not Path(text).is_file():
            raise FileNotFoundError(f'The input "{text}" does not exist.')
        else:
            paths.append(text)
    taken: set[str] = set()
    sources = []
    for path in paths:
        kind = _kind(path)
        name = f'camera{path}' if kind == 'camera' else Path(path).name
        same, number = name, len(taken)
        while name in taken:
            name = f'{number}_{same}'
            number += 1
        taken.add(name)
        frames = len(mmcv.VideoReader(path)) if kind == 'video' else int(kind != 'camera')
        sources.append(Source(path, name, kind, frames))
    return sources


def _kind(path: str) -> str:
    if path.isdigit():
        return 'camera'
    kind = (mimetypes.guess_type(path)[0] or '').split('/')[0]
    # whatever else somebody names may be a picture
    return kind if kind == 'video' else 'image' if kind in ('image', '') else kind


def read_frames(source: Source) -> Iterator[Frame]:
    """Read a source.

    Raises:
        ValueError: If it cannot be read.
    """
    if source.kind not in ('video', 'camera'):
        yield Frame(source, 0, 0, read_image(source.path))
        return
    opened = cv2.VideoCapture(int(source.path) if source.kind == 'camera' else source.path)
    fps = opened.get(cv2.CAP_PROP_FPS) or 25
    number = 0
    try:
        while (frame := opened.read())[0]:
            yield Frame(source, number, fps, frame[1])
            number += 1
    finally:
        opened.release()
    if not number:
        raise ValueError(f'The {source.kind} "{source.path}" cannot be read.')


class FrameWriter:
    """Writes pictures as pictures and frames of videos as videos.

    Args:
        folder (Path): Folder to write to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.video: cv2.VideoWriter | None = None
        self.name = ''

    def write(self, frame: Frame, drawn: np.ndarray) -> None:
        """Write one frame, after those before it.

        Raises:
            ValueError: If it cannot be written.
        """
        if not frame.fps:
            path = self.folder / frame.source.name
            if mimetypes.guess_type(path.name)[0] not in ('image/jpeg', 'image/png'):
                path = path.with_name(f'{path.name}.jpg')
            mmcv.imwrite(drawn, str(path))
            return
        if self.name != frame.source.name:
            self.close()
            path = self.folder / frame.source.name
            if path.suffix.lower() != '.mp4':
                path = path.with_name(f'{path.name}.mp4')
            codec = cv2.VideoWriter.fourcc(*'mp4v')
            self.video = cv2.VideoWriter(str(path), codec, frame.fps, drawn.shape[1::-1])
            self.name = frame.source.name
            if not self.video.isOpened():
                raise ValueError(f'OpenCV cannot write the video "{path}" here.')
        if self.video is not None:
            self.video.write(drawn)

    def close(self) -> None:
        """Finish a video."""
        if self.video is not None:
            self.video.release()
        self.video, self.name = None, ''
