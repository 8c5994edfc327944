import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ClipBBoxInclusive(BaseTransform):
    """Clip ground-truth boxes as the code of `PRTR`_ (CVPR 2021) does.

    That code, like the Simple Baselines code it descends from, counts the
    last pixel of a box as part of it. Even a box inside the image loses one
    pixel in width and height::

        x1 = max(0, x)
        x2 = min(image_width - 1, x1 + max(0, w - 1))    # likewise for y

    whereas mmpose's datasets keep such a box whole. The crop becomes up to a
    few percent smaller for small people. Put this transform between
    :class:`LoadImage` and :class:`GetBBoxCenterScale`.

    Only boxes from the annotation file change: samples from a detection file
    (``bbox_file``) have no raw annotation and stay as they are, as in the
    paper's code.

    Required Keys:

        - bbox
        - ori_shape
        - raw_ann_info (optional)

    Modified Keys:

        - bbox

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    def transform(self, results: dict) -> dict:
        """Recompute ``bbox`` from the raw annotation.

        Args:
            results (dict): The result dict with ``bbox`` in shape (N, 4),
                (x1, y1, x2, y2) in pixels of the original image, and
                ``raw_ann_info``, one COCO annotation (or a list of N) whose
                ``bbox`` is (x, y, w, h).

        Returns:
            dict: The result dict.

        Raises:
            KeyError: If ``ori_shape`` is missing.
            ValueError: If a clipped box has no width or no height, or
                ``bbox_center`` has been computed already.
        """
        annotations = results.get('raw_ann_info')
        if annotations is None:
            return results
        if 'bbox_center' in results:
            raise ValueError(
                'ClipBBoxInclusive changes "bbox", but "bbox_center" has been '
                'computed already. Put it before GetBBoxCenterScale in the '
                'pipeline.'
            )
        if 'ori_shape' not in results:
            raise KeyError(
                'ClipBBoxInclusive needs the image size in "ori_shape". Put '
                'it after LoadImage in the pipeline.'
            )
        if isinstance(annotations, dict):
            annotations = [annotations]
        # float64 as in the paper's code: in float32 the differences of large
        # coordinates are off by more than 1e-6 of a small box
        results['bbox'] = np.array(
            [self._clip(annotation, results['ori_shape']) for annotation in annotations]
        ).reshape(-1, 4)
        return results

    @staticmethod
    def _clip(annotation: dict, shape: tuple[int, int]) -> list:
        """The clipped box (x1, y1, x2, y2) of one annotation.

        Args:
            annotation (dict): COCO annotation with ``bbox`` (x, y, w, h).
            shape (tuple): Image size (height, width) in pixels.

        Returns:
            list: Corners in pixels.
        """
        x, y, w, h = annotation['bbox']
        height, width = shape[:2]
        x1, y1 = max(0.0, x), max(0.0, y)
        x2 = min(width - 1.0, x1 + max(0.0, w - 1))
        y2 = min(height - 1.0, y1 + max(0.0, h - 1))
        if not (x2 > x1 and y2 > y1):  # also true for NaN
            raise ValueError(
                f'bbox={annotation["bbox"]} (x, y, w, h) of annotation '
                f'id={annotation.get("id")} has no pixel left in its image of '
                f'width {width} and height {height}: boxes must be wider and '
                'higher than 1 pixel and overlap the image. Correct it, or '
                'remove this annotation from the file.'
            )
        return [x1, y1, x2, y2]

    def __repr__(self) -> str:
        """Only the name, as there are no settings."""
        return f'{self.__class__.__name__}()'
