from mmpose.apis import MMPoseInferencer
from mmpose.structures import PoseDataSample

from ..models.estimators import PRTRCascade


class PRTRInferencer(MMPoseInferencer):
    """mmpose's inferencer with thresholds that :class:`PRTRCascade` obeys.

    ``MMPoseInferencer`` runs the cascade too, and neither needs a separate
    detector. But it hands ``bbox_thr`` to models of the type
    ``'BottomupPoseEstimator'`` only, whose name it compares; for the cascade
    it returns and draws everybody above ``model.test_cfg.score_thr``, which
    is low as evaluation wants it. Here ``bbox_thr`` takes the place of
    ``score_thr``. Other models are treated as by the parent class.

    For the cascade ``nms_thr``, ``bboxes`` and the ``det_*`` arguments have
    no effect: it finds people itself, each once. Where it was trained too
    little for that, ``pose_based_nms=True`` drops repetitions.

    Args:
        *args: See the parent class
        **kwargs: See the parent class.

    Example:
        >>> from prtr_plugin.apis import PRTRInferencer
        >>> inferencer = PRTRInferencer(config, checkpoint, device='cpu')
        >>> result = next(inferencer(
        ...     'people.jpg', bbox_thr=0.5, draw_bbox=True, vis_out_dir='out'))
        >>> for person in result['predictions'][0]:
        ...     print(person['bbox'][0], person['bbox_score'])
    """

    def _dispatch_kwargs(self, **kwargs) -> tuple[dict, dict, dict, dict]:
        """Tell :meth:`forward` of ``bbox_thr`` if the model is a cascade."""
        preprocess_kwargs, forward_kwargs, *others = super()._dispatch_kwargs(**kwargs)
        if isinstance(self.inferencer.model, PRTRCascade):
            # as for the parent class' preprocess
            forward_kwargs['bbox_thr'] = kwargs.get('bbox_thr', 0.3)
        return preprocess_kwargs, forward_kwargs, *others

    def forward(
        self, inputs: dict | tuple, bbox_thr: float | None = None, **kwargs
    ) -> list[PoseDataSample]:
        """Forward the inputs to the model.

        Args:
            inputs (dict | tuple): The inputs to be forwarded
            bbox_thr (float, optional): Score that a person exceeds whom a
                cascade finds. Defaults to None, for the one of its
                ``test_cfg``
            **kwargs: See the parent class

        Returns:
            List[PoseDataSample]: The prediction results.
        """
        if bbox_thr is None:
            return super().forward(inputs, **kwargs)
        # for this batch only: nothing of the model is changed between batches
        with self.inferencer.model.score_threshold(bbox_thr):
            return super().forward(inputs, **kwargs)
