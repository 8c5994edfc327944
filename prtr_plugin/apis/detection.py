from collections.abc import Sequence

import numpy as np
from mmcv.transforms import Compose
from mmdet.apis import inference_detector, init_detector
from mmdet.utils import get_test_pipeline_cfg
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import nms

from ..checkpoints import read_weights, trust_checkpoint
from .config import load_config
from .device import find_device
from .model_zoo import load_weights


class Detector:
    """A detector of mmdet that finds people.

    mmdet looks up its parts in its own scope, which must be the default one
    while the detector is built and run, but not while mmpose runs.

    Args:
        config (str): Config file
        weights (str): Checkpoint
        person_class (int): Index of the person class. Defaults to 0
        nms_thr (float): Largest IoU of two people. Defaults to 0.3
        device (str, optional): Defaults to an accelerator if there is one,
            else the CPU
        trust (bool): See :func:`load_model`. Defaults to ``False``

    Raises:
        CheckpointError: If the checkpoint does not fit the config.
        FileNotFoundError: If a file does not exist.
        ImportError: If a package that mmdet's datasets need is not installed.
        ValueError: If there is no such class.
    """

    def __init__(
        self,
        config: str,
        weights: str,
        person_class: int = 0,
        nms_thr: float = 0.3,
        device: str | None = None,
        trust: bool = False,
    ) -> None:
        try:
            # otherwise the registry of mmdet would only report a missing name
            import mmdet.datasets  # noqa: F401
        except ModuleNotFoundError as error:
            raise ImportError(
                f'mmdet needs the package {error.name}, which is not installed: '
                f'pip install {error.name}'
            ) from error

        cfg = load_config(config)
        state_dict, _ = read_weights(weights, trust)
        if trust:
            trust_checkpoint(weights)
        with DefaultScope.overwrite_default_scope('mmdet'):
            # options keep mmdet from looking for model.backbone
            self.model = init_detector(cfg, weights, device=find_device(device), cfg_options={})
            # mmdet takes what fits of any checkpoint
            load_weights(self.model, state_dict, weights, spare=True)
            pipeline = get_test_pipeline_cfg(self.model.cfg)
            pipeline[0].type = 'mmdet.LoadImageFromNDArray'
            self.pipeline = Compose(pipeline)
        classes = self.model.dataset_meta['classes']
        if not 0 <= person_class < len(classes):
            raise ValueError(
                f'person_class {person_class} is not among the classes of the detector: '
                f'{dict(enumerate(classes))}.'
            )
        self.person_class = person_class
        self.nms_thr = nms_thr

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Boxes [x1, y1, x2, y2, score] of the people of each image, in shape (N_i, 5)."""
        with DefaultScope.overwrite_default_scope('mmdet'):
            samples = inference_detector(self.model, list(images), self.pipeline)
        return [self._people(sample.pred_instances.cpu().numpy()) for sample in samples]

    def _people(self, found: InstanceData) -> np.ndarray:
        # some detectors predict empty boxes at the border
        low, high = found.bboxes[:, :2], found.bboxes[:, 2:]
        found = found[(found.labels == self.person_class) & (low < high).all(axis=1)]
        boxes = np.column_stack((found.bboxes, found.scores))
        return boxes[nms(boxes, self.nms_thr)]
