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
from mmcv.transforms import Compose
from mmdet.apis import inference_detector, init_detector
from mmdet.utils import get_test_pipeline_cfg
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import nms
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from tqdm import tqdm

from prtr_plugin.apis import Person, load_config, load_model, predict
from prtr_plugin.apis.checks import find_device
from prtr_plugin.apis.model_zoo import load_weights
from prtr_plugin.checkpoints import read_checkpoint
from prtr_plugin.deploy.reader import read_image
from prtr_plugin.fileio import write_folder

try:
    # otherwise the registry of mmdet would only report a missing name
    import mmdet.datasets  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(
        f'Error: mmdet needs the package {error.name}, which is not installed: '
        f'pip install {error.name}'
    )

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


class Detector:
    """A detector of mmdet.

    mmdet looks up its parts in its own scope, which must be the default one
    while the detector is built and run, but not while mmpose runs.

    Args:
        config (str): Config file
        weights (str): Checkpoint
        person_class (int): Index of the person class
        nms_thr (float): Largest IoU of two people
        device (str): Device

    Raises:
        CheckpointError: If the checkpoint does not fit the config.
        FileNotFoundError: If a file does not exist.
        ValueError: If there is no such class.
    """

    def __init__(
        self, config: str, weights: str, person_class: int, nms_thr: float, device: str
    ) -> None:
        cfg = load_config(config)
        checkpoint = read_checkpoint(weights)
        with DefaultScope.overwrite_default_scope('mmdet'):
            # options keep mmdet from looking for model.backbone
            self.model = init_detector(cfg, weights, device=device, cfg_options={})
            # mmdet takes what fits of any checkpoint
            load_weights(self.model, checkpoint, weights, spare=True)
            pipeline = get_test_pipeline_cfg(self.model.cfg)
            pipeline[0].type = 'mmdet.LoadImageFromNDArray'
            self.pipeline = Compose(pipeline)
        classes = self.model.dataset_meta['classes']
        if not 0 <= person_class < len(classes):
            raise ValueError(
                f'--person-class {person_class} is not among the classes of the detector: '
                f'{dict(enumerate(classes))}.'
            )
        self.person_class = person_class
        self.nms_thr = nms_thr

    def __call__(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Boxes [x1, y1, x2, y2, score] of the people of each image."""
        with DefaultScope.overwrite_default_scope('mmdet'):
            samples = inference_detector(self.model, images, self.pipeline)
        return [self._people(s.pred_instances.cpu().numpy()) for s in samples]

    def _people(self, found: InstanceData) -> np.ndarray:
        # some detectors predict empty boxes at the border
        low, high = found.bboxes[:, :2], found.bboxes[:, 2:]
        found = found[(found.labels == self.person_class) & (low < high).all(axis=1)]
        boxes = np.column_stack((found.bboxes, found.scores))
        return boxes[nms(boxes, self.nms_thr)]


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


def paint(
    visualizer: PoseLocalVisualizer, frame: np.ndarray, people: list[Person], kpt_thr: float
) -> np.ndarray:
    """Draw people on a copy of a frame."""
    if not people:
        return frame
    found = InstanceData(
        bboxes=np.stack([person.bbox for person in people]),
        keypoints=np.stack([person.keypoints for person in people]),
        keypoint_scores=np.stack([person.keypoint_scores for person in people]),
    )
    sample = PoseDataSample(pred_instances=found)
    drawn = visualizer.add_datasample(
        'frame', mmcv.bgr2rgb(frame), sample, draw_gt=False, draw_bbox=True, kpt_thr=kpt_thr
    )
    return mmcv.rgb2bgr(drawn)


def to_json(person: Person) -> dict:
    """A person in plain numbers, without the names of the joints."""
    fields = dataclasses.asdict(person)
    del fields['keypoint_names']
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
    visualizer = PoseLocalVisualizer(line_width=2, radius=3)
    visualizer.set_dataset_meta(model.dataset_meta)

    names = model.dataset_meta['keypoint_id2name']
    results = []
    start = time.perf_counter()
    with closing(FrameWriter(folder, fps)) as writer, tqdm(total=total, unit='frame') as bar:
        while batch := list(islice(frames, args.batch_size)):
            images = [image for _, image in batch]
            found = predict(model, images, detect(images), 32, args.score_thr)
            for (name, image), people in zip(batch, found):
                writer.write(name, paint(visualizer, image, people, args.kpt_thr))
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
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out}: {summary}')


if __name__ == '__main__':
    main()
