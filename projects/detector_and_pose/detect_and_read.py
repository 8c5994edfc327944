"""Find people with a detector of mmdet and predict their joints with PRTR.

Reads an image, a folder of images or a video, and writes a folder with
``predictions.json`` and the drawn images or video. The folder appears when
everything is done: a run that fails leaves nothing behind.

Example:
    python projects/detector_and_pose/detect_and_read.py people.mp4 out \
        --det-config DET_CONFIG --det-weights DET_CHECKPOINT \
        --pose td-prtr_res50_4xb32-200e_coco-384x288 --pose-weights CHECKPOINT
"""

import argparse
import dataclasses
import mimetypes
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import mmcv
import mmengine
import numpy as np
from tqdm import tqdm

from prtr_plugin.apis import Person, load_model, predict
from prtr_plugin.apis.checks import find_device
from prtr_plugin.apis.detection import Detector
from prtr_plugin.deploy.reader import read_image
from prtr_plugin.fileio import write_folder
from prtr_plugin.visualization import draw_people

# name of a file or number of a frame, and its pixels in BGR order
Frame = tuple[str | int, np.ndarray]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Find people with a detector of mmdet and predict their joints with PRTR',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('input', help='image, folder of images or video')
    add('out', help='new folder to write')
    add('--det-config', required=True, help='config file of the detector')
    add('--det-weights', required=True, help='its checkpoint')
    add('--pose', required=True, help='name of a two-stage model, or a config file')
    add('--pose-weights', required=True, help='its checkpoint')
    add('--person-class', type=int, default=0, help="index of the detector's person class")
    add('--score-thr', type=float, default=0.3, help='lowest score of a person')
    add('--nms-thr', type=float, default=0.3, help='largest IoU of two people')
    add('--kpt-thr', type=float, default=0.3, help='lowest score of a joint that is drawn')
    add('--batch-size', type=int, default=8, help='frames that are processed together')
    add('--device', help='such as cpu or cuda:0; by default an accelerator if there is one')
    args = parser.parse_args()
    if args.batch_size < 1:
        parser.error(f'--batch-size must be at least 1, but is {args.batch_size}')
    return args


def kind_of(path: Path) -> str:
    """``'image'``, ``'video'`` or another kind, by the name of a file."""
    return (mimetypes.guess_type(path.name)[0] or 'unknown').split('/')[0]


def open_input(path: Path) -> tuple[int, float, Iterator[Frame]]:
    """Number of frames, frames per second (0 for images) and the frames.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is neither an image nor a video nor a folder with images.
    """
    if not path.exists():
        raise FileNotFoundError(f'The input "{path}" does not exist.')
    if kind_of(path) == 'video' and path.is_file():
        video = mmcv.VideoReader(str(path))
        if not len(video):
            raise ValueError(f'The video "{path}" cannot be read.')
        return len(video), video.fps, enumerate(video)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if kind_of(file) == 'image']
    if not files:
        raise ValueError(
            f'The input "{path}" is neither an image nor a video nor a folder with images.'
        )
    return len(files), 0, ((file.name, read_image(file)) for file in files)


class FrameWriter:
    """Writes frames as images or, with frames per second, as a video."""

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        self.fps = fps
        self.video = None

    def write(self, name: str | int, frame: np.ndarray) -> None:
        """Write one frame."""
        if not self.fps:
            mmcv.imwrite(frame, str(self.folder / 'images' / str(name)))
            return
        if self.video is None:
            codec = cv2.VideoWriter_fourcc(*'mp4v')
            size = frame.shape[1::-1]
            self.video = cv2.VideoWriter(str(self.folder / 'video.mp4'), codec, self.fps, size)
            if not self.video.isOpened():
                raise ValueError('cv2 cannot write videos here.')
        self.video.write(frame)

    def close(self) -> None:
        """Finish the video."""
        if self.video is not None:
            self.video.release()


def to_json(person: Person) -> dict:
    """A person in plain numbers, without the names of the joints."""
    fields = dataclasses.asdict(person)
    del fields['keypoint_names'], fields['dataset_meta']
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}


def run(args: argparse.Namespace, folder: Path) -> str:
    """Write the predictions and the drawn frames, and return a summary.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If an argument is wrong.
    """
    total, fps, frames = open_input(Path(args.input))
    device = find_device(args.device)
    detect = Detector(args.det_config, args.det_weights, args.person_class, args.nms_thr, device)
    model = load_model(args.pose, args.pose_weights, device)

    names = model.dataset_meta['keypoint_id2name']
    results = []
    start = time.perf_counter()
    with closing(FrameWriter(folder, fps)) as writer, tqdm(total=total, unit='frame') as bar:
        while batch := list(islice(frames, args.batch_size)):
            images = [image for _, image in batch]
            found = predict(model, images, detect(images), 32, args.score_thr)
            for (name, image), people in zip(batch, found):
                writer.write(name, draw_people(image, people, model.dataset_meta, args.kpt_thr))
                results.append(dict(name=name, people=[to_json(person) for person in people]))
            bar.update(len(batch))
    speed = len(results) / (time.perf_counter() - start)
    keypoint_names = [names[i] for i in range(len(names))]
    mmengine.dump(dict(keypoint_names=keypoint_names, frames=results), folder / 'predictions.json')
    count = sum(len(frame['people']) for frame in results)
    return f'{count} people in {len(results)} frames, {speed:.1f} frames/s'


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        with write_folder(args.out) as folder:
            summary = run(args, folder)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out}: {summary}')


if __name__ == '__main__':
    main()
