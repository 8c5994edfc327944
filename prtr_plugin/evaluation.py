import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpose.evaluation import CocoMetric
from mmpose.registry import METRICS

# pixels, where people with NaN are put
FAR = 1e6


def use_safe_metrics(evaluator: Any) -> None:
    """Replace mmpose's ``CocoMetric`` by :class:`SafeCocoMetric` in a config, in place.

    Args:
        evaluator (Any): ``val_evaluator`` or ``test_evaluator`` of a config
    """
    if isinstance(evaluator, dict):
        if evaluator.get('type') in ('CocoMetric', 'mmpose.CocoMetric', CocoMetric):
            evaluator['type'] = 'SafeCocoMetric'
        use_safe_metrics(evaluator.get('metrics'))
    elif isinstance(evaluator, (list, tuple)):
        for metric in evaluator:
            use_safe_metrics(metric)


@METRICS.register_module()
class SafeCocoMetric(CocoMetric):
    """mmpose's ``CocoMetric`` that cannot be better than the predictions.

    Both differ in two cases only:

        - NaN. The comparisons of COCO's evaluation are such that a person
          with a joint that is NaN matches every annotation, and AP rises to 1.
          Here such a person, or one with an infinite number or such a score,
          is a wrong answer: nobody matches it
        - Predictions without ``category_id``, as from a model that finds
          people by itself or from a ``bbox_file``. The parent class takes them
          for category 1. Here they are of the category that the annotations
          have, whatever its number. If there are several, they count as one

    Args:
        *args: See the parent class
        **kwargs: See the parent class.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._num_broken = 0

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Process a batch; see the parent class."""
        samples = [
            {'category_id': None, **sample, 'pred_instances': self._finite(sample)}
            if 'pred_instances' in sample
            else sample
            for sample in data_samples
        ]
        super().process(data_batch, samples)

    def _finite(self, sample: dict) -> dict:
        """Predictions of an image in which people with NaN are far from all others."""
        people = {**sample['pred_instances']}
        names = ('keypoints', 'keypoint_scores', 'bboxes', 'bbox_scores')
        fields = {name: np.array(people[name]) for name in names if name in people}
        num = len(fields['keypoints'])
        broken = np.zeros(num, bool)
        for value in fields.values():
            broken |= ~np.isfinite(value).all(axis=tuple(range(1, value.ndim)))
        if not broken.any():
            return people
        if 'bboxes' in fields:
            lost = ~np.isfinite(fields['bboxes']).all(axis=1)
            points = np.nan_to_num(fields['keypoints'][lost], nan=0, posinf=0, neginf=0)
            # as large as the person, for the metrics of large and small ones
            fields['bboxes'][lost] = np.hstack((points.min(axis=1), points.max(axis=1))) - FAR
        # far from all pictures, and from each other, as NMS keeps one of the same place
        places = self._num_broken + np.arange(1, broken.sum() + 1)
        self._num_broken += len(places)
        fields['keypoints'][broken] = (-FAR * places)[:, None, None]
        for name in fields.keys() & {'keypoint_scores', 'bbox_scores'}:
            # the most confident wrong answers: a missing score must not be an advantage
            fields[name][broken] = np.nan_to_num(fields[name][broken], nan=1, posinf=1, neginf=1)
        return {**people, **fields}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics; see the parent class."""
        # of all processes, whose results are here
        num_broken = sum(
            int((pred['keypoints'] <= -FAR).all(axis=(1, 2)).sum()) for pred, _ in results
        )
        if num_broken:
            warnings.warn(
                f'{num_broken} predicted people are NaN or infinite. They count as wrong: check '
                'the weights.',
                stacklevel=2,
            )
        if any(pred['category_id'] is None for pred, _ in results):
            results = self._merge_categories(results)
        return super().compute_metrics(results)

    def _merge_categories(self, results: list) -> list:
        """Make people of all categories of the annotations one category."""
        people = [ann for _, gt in results for ann in gt.get('raw_ann_info', ()) if ann]
        if self.coco is not None:
            people = list(self.coco.anns.values())
        merged = min((ann['category_id'] for ann in people), default=1)
        for ann in people:
            ann['category_id'] = merged
        if self.coco is not None:
            cats = self.coco.dataset['categories']
            self.coco.dataset['categories'] = [cat for cat in cats if cat['id'] == merged]
        return [({**pred, 'category_id': merged}, gt) for pred, gt in results]


@METRICS.register_module()
class PersonBoxMetric(SafeCocoMetric):
    """COCO's box metric for the people that a pose model finds.

    Used beside a ``SafeCocoMetric``, which evaluates the keypoints of the
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
