import glob
import mimetypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmpose.apis import MMPoseInferencer
from mmpose.structures import PoseDataSample

from ..checkpoints import read_weights, trust_checkpoint
from ..model_index import SHORT_NAMES, config_paths
from ..models.estimators import PRTRCascade
from ..models.estimators.cascade_data import check_score_thr
from .checks import check_config, explain_build_errors
from .config import load_config
from .device import find_device
from .inputs import Image, describe, find_images, load_image, thin_image_error
from .model_zoo import load_weights


class PRTRInferencer(MMPoseInferencer):
    """mmpose's inferencer with a score threshold for :class:`PRTRCascade`.

    ``MMPoseInferencer`` runs the cascade too, without a separate detector, but
    passes ``bbox_thr`` only to models whose type is named
    ``'BottomupPoseEstimator'``. For the cascade it returns and draws everybody
    above ``model.test_cfg.score_thr``, which is low because evaluation needs
    it so. Here ``bbox_thr`` replaces ``score_thr``. Other models are treated
    as in the parent class.

    For the cascade, ``nms_thr``, ``bboxes`` and the ``det_*`` arguments have
    no effect: it finds the people itself. ``model.test_cfg.nms_thr`` of its
    config drops those that are found twice by their boxes,
    ``pose_based_nms=True`` by their joints.

    Weights have to fit exactly, as with :func:`load_model`. For a two-stage
    model of a config file ``det_model`` is required: mmpose would otherwise
    download a detector.

    Args:
        pose2d (str | Path, optional): One of :func:`list_models`, or see the
            parent class
        pose2d_weights (str | Path, optional): See the parent class
        device (str, optional): See the parent class
        det_model (str, optional): See the parent class. ``'whole_image'``
            for one person in each image
        det_weights (str, optional): See the parent class
        trust (bool): See :func:`load_model`. Defaults to ``False``
        **kwargs: See the parent class.

    Raises:
        CheckpointError: If a checkpoint cannot be read without running code,
            or does not fit its model.
        FileNotFoundError: If the config or a checkpoint does not exist.
        ValueError: If weights, a detector or the device are missing.

    Example:
        >>> from prtr_plugin.apis import PRTRInferencer
        >>> inferencer = PRTRInferencer(config, checkpoint, device='cpu')
        >>> result = next(inferencer(
        ...     'people.jpg', bbox_thr=0.5, draw_bbox=True, vis_out_dir='out'))
        >>> for person in result['predictions'][0]:
        ...     print(person['bbox'][0], person['bbox_score'])
    """

    def __init__(
        self,
        pose2d: str | Path | None = None,
        pose2d_weights: str | Path | None = None,
        *,
        device: str | None = None,
        det_model: str | None = None,
        det_weights: str | Path | None = None,
        trust: bool = False,
        **kwargs,
    ) -> None:
        cfg = _find_own_config(pose2d)
        if cfg is not None:
            check_config(cfg)
            pose2d = cfg.filename
            if pose2d_weights is None:
                raise ValueError(f'{pose2d} needs pose2d_weights=<path of a checkpoint>.')
            if det_model is None and cfg.get('data_mode') == 'topdown':
                raise ValueError(
                    f'{pose2d} reads people in boxes, so it needs det_model: the config file of a '
                    "detector of mmdet, with det_weights and det_cat_ids, or 'whole_image' for one "
                    'person in each image.'
                )
        for weights in (pose2d_weights, det_weights) if trust else ():
            trust_checkpoint(str(weights))
        checkpoints = {
            str(weights): read_weights(weights, trust)[0]
            for weights in (pose2d_weights, det_weights)
            if weights is not None and '://' not in str(weights)
        }
        with explain_build_errors(cfg or Config(filename=None)):
            super().__init__(
                *(value and str(value) for value in (pose2d, pose2d_weights)),
                device=find_device(device),
                det_model=det_model,
                det_weights=det_weights and str(det_weights),
                **kwargs,
            )
        detector = getattr(self.inferencer, 'detector', None)
        for built, weights in ((self.inferencer, pose2d_weights), (detector, det_weights)):
            if built is not None and str(weights) in checkpoints:
                load_weights(
                    built.model, checkpoints[str(weights)], weights, spare=built is detector
                )

    def __call__(self, inputs: Image | Iterable[Image], *args, **kwargs) -> Iterator[dict]:
        """Predict people.

        Args:
            inputs (str | Path | np.ndarray | Iterable): An image, a folder, a
                pattern as in :func:`predict`, a video or ``'webcam'``, or
                several images. A path with ``://`` is fetched, unlike by
                :func:`predict`, as mmpose's inferencers do
            *args: See the parent class
            **kwargs: See the parent class

        Yields:
            dict: See the parent class.

        Raises:
            OSError: If an image cannot be opened. The message names it.
            ValueError: If an image is not valid, see :func:`predict`, or
                ``bbox_thr`` or ``kpt_thr`` is not from 0 to 1.
        """
        for name in ('bbox_thr', 'kpt_thr'):
            check_score_thr(kwargs.get(name, 0.3), name)
        if isinstance(inputs, (str, Path)):
            inputs = str(inputs)
            kind = mimetypes.guess_type(inputs)[0] or ''
            # addresses have question marks
            is_pattern = glob.has_magic(inputs) and '://' not in inputs
            if os.path.isdir(inputs) or (is_pattern and not os.path.exists(inputs)):
                inputs = find_images(inputs)
            elif not kind.startswith('video/') and not inputs.startswith('webcam'):
                inputs = [inputs]
        return super().__call__(inputs, *args, **kwargs)

    def preprocess(self, inputs: Iterable[Image], *args, **kwargs) -> Iterator[tuple]:
        """See the parent class; a file that cannot be read is named."""
        current: list = []

        def checked() -> Iterator[str | np.ndarray]:
            for i, image in enumerate(inputs):
                pixels = load_image(image, i, allow_urls=True)
                current[:] = pixels, describe(image, i)
                yield pixels if isinstance(image, np.ndarray) else str(image)

        batches = super().preprocess(checked(), *args, **kwargs)
        while True:
            try:
                batch = next(batches, None)
            except cv2.error as error:
                raise thin_image_error(*current) from error
            if batch is None:
                return
            yield batch

    def _dispatch_kwargs(self, **kwargs) -> tuple[dict, dict, dict, dict]:
        """Pass ``bbox_thr`` to :meth:`forward` if the model is a cascade."""
        preprocess_kwargs, forward_kwargs, *others = super()._dispatch_kwargs(**kwargs)
        if isinstance(self.inferencer.model, PRTRCascade):
            # the default of the parent class's preprocess
            forward_kwargs['bbox_thr'] = kwargs.get('bbox_thr', 0.3)
        return preprocess_kwargs, forward_kwargs, *others

    def forward(
        self, inputs: dict | tuple, bbox_thr: float | None = None, **kwargs
    ) -> list[PoseDataSample]:
        """Forward the inputs to the model.

        Args:
            inputs (dict | tuple): The inputs to be forwarded
            bbox_thr (float, optional): Score above which a cascade returns a
                person. Defaults to None, for that of its ``test_cfg``
            **kwargs: See the parent class

        Returns:
            List[PoseDataSample]: The prediction results.
        """
        if bbox_thr is None:
            return super().forward(inputs, **kwargs)
        # for this batch only, so that the model stays as it is
        with self.inferencer.model.score_threshold(bbox_thr):
            return super().forward(inputs, **kwargs)


def _find_own_config(pose2d: str | Path | None) -> Config | None:
    """The config of a file or of a model of this plugin, None for mmpose's names."""
    name = str(pose2d)
    if pose2d is None or not (
        name.endswith('.py')
        or Path(name).is_file()
        or name in SHORT_NAMES
        or name in config_paths()
    ):
        return None
    return load_config(name)
