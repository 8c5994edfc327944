from pathlib import Path

from mmpose.apis import MMPoseInferencer
from mmpose.structures import PoseDataSample

from ..checkpoints import read_checkpoint
from ..models.estimators import PRTRCascade


class PRTRInferencer(MMPoseInferencer):
    """mmpose's inferencer with a score threshold for :class:`PRTRCascade`.

    ``MMPoseInferencer`` runs the cascade too, without a separate detector, but
    passes ``bbox_thr`` only to models whose type is named
    ``'BottomupPoseEstimator'``. For the cascade it returns and draws everybody
    above ``model.test_cfg.score_thr``, which is low because evaluation needs
    it so. Here ``bbox_thr`` replaces ``score_thr``. Other models are treated
    as in the parent class.

    For the cascade, ``nms_thr``, ``bboxes`` and the ``det_*`` arguments have
    no effect: it finds each person itself, once. If it was trained too briefly
    for that, ``pose_based_nms=True`` drops duplicates.

    Args:
        pose2d (str, optional): See the parent class
        pose2d_weights (str, optional): See the parent class
        *args: See the parent class
        **kwargs: See the parent class.

    Raises:
        CheckpointError: If a checkpoint cannot be read without running code.

    Example:
        >>> from prtr_plugin.apis import PRTRInferencer
        >>> inferencer = PRTRInferencer(config, checkpoint, device='cpu')
        >>> result = next(inferencer(
        ...     'people.jpg', bbox_thr=0.5, draw_bbox=True, vis_out_dir='out'))
        >>> for person in result['predictions'][0]:
        ...     print(person['bbox'][0], person['bbox_score'])
    """

    def __init__(
        self, pose2d: str | None = None, pose2d_weights: str | None = None, *args, **kwargs
    ) -> None:
        for weights in (pose2d_weights, kwargs.get('det_weights')):
            # mmengine would unpickle whatever it holds
            if weights is not None and Path(weights).is_file():
                read_checkpoint(weights)
        super().__init__(pose2d, pose2d_weights, *args, **kwargs)

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
