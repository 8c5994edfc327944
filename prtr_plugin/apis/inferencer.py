from collections.abc import Iterator

from mmpose.apis import MMPoseInferencer

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

    def preprocess(
        self, inputs, batch_size: int = 1, bbox_thr: float = 0.3, **kwargs
    ) -> Iterator[tuple[dict, list]]:
        """Process the inputs into a model-feedable format.

        Args:
            inputs (InputsType): Inputs given by the user
            batch_size (int): See the parent class. Defaults to 1
            bbox_thr (float): Score that a person exceeds. Defaults to 0.3,
                as in the parent class
            **kwargs: See the parent class

        Yields:
            tuple[dict, list]: See the parent class.
        """
        model = self.inferencer.model
        for data in super().preprocess(inputs, batch_size, bbox_thr=bbox_thr, **kwargs):
            if isinstance(model, PRTRCascade):
                # what the parent class does for BottomupPoseEstimator
                model.test_cfg['score_thr'] = bbox_thr
            yield data
