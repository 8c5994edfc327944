from mmpose.evaluation import CocoMetric
from mmpose.registry import METRICS


@METRICS.register_module()
class PersonBoxMetric(CocoMetric):
    """COCO's box metric for the people that a pose model finds.

    Used beside mmpose's ``CocoMetric``, which evaluates the keypoints of the
    same predictions: ``coco/AP`` is the AP of keypoints, ``coco/bbox_AP`` that
    of boxes. The scores are those of the boxes, and there is no NMS. People
    without labelled joints count, unlike for keypoints.

    The evaluation is that of ``pycocotools`` with ``iouType='bbox'``, through
    the same package as in the parent class. mmdet's metric gives the same
    figures, but takes other data samples.

    Args:
        ann_file (str, optional): Annotation file in COCO format. Defaults to
            that of the dataset
        **kwargs: ``outfile_prefix``, ``format_only``, ``collect_device`` and
            ``prefix``, see the parent class.
    """

    # names of the figures that the parent class returns, in its order
    NAMES = (
        'bbox_AP',
        'bbox_AP .5',
        'bbox_AP .75',
        'bbox_AP (S)',
        'bbox_AP (M)',
        'bbox_AP (L)',
        'bbox_AR@1',
        'bbox_AR@10',
        'bbox_AR@100',
    )

    def __init__(self, ann_file: str | None = None, **kwargs) -> None:
        super().__init__(
            ann_file=ann_file, iou_type='bbox', score_mode='bbox', nms_mode='none', **kwargs
        )

    def _do_python_keypoint_eval(self, outfile_prefix: str) -> list:
        """Evaluate boxes and rename the figures, which the parent class names
        like those of keypoints.
        """
        stats = super()._do_python_keypoint_eval(outfile_prefix)
        return [(name, value) for name, (_, value) in zip(self.NAMES, stats)]
