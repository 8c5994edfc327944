"""People drawn on pictures, in the colours of their dataset."""

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer


def draw_people(
    image: np.ndarray,
    people: Sequence[Any],
    dataset_meta: dict,
    kpt_thr: float = 0.3,
    with_boxes: bool = True,
) -> np.ndarray:
    """Draw joints, links and boxes on a copy of a picture.

    Args:
        image (np.ndarray): Picture in shape (H, W, 3), BGR, uint8
        people (Sequence[Person]): People with ``keypoints``,
            ``keypoint_scores`` and ``bbox``
        dataset_meta (dict): Colours and links of the joints
        kpt_thr (float): Lowest score of a joint that is drawn. Defaults to 0.3
        with_boxes (bool): Whether to draw the boxes. Defaults to ``True``

    Returns:
        np.ndarray: Picture in the same shape, BGR, uint8.
    """
    if not people:
        return image.copy()
    # as thick as suits the picture: 2 for COCO's 640 pixels
    width = max(2, round(max(image.shape[:2]) / 320))
    visualizer = PoseLocalVisualizer(line_width=width, radius=1.5 * width + 0.5)
    visualizer.set_dataset_meta(dataset_meta)
    scores = np.stack([person.keypoint_scores for person in people])
    found = InstanceData(
        bboxes=np.stack([person.bbox for person in people]),
        keypoints=np.stack([person.keypoints for person in people]),
        keypoint_scores=scores,
        # what mmpose compares with kpt_thr
        keypoints_visible=scores,
    )
    drawn = visualizer.add_datasample(
        'people',
        mmcv.bgr2rgb(image),
        PoseDataSample(pred_instances=found),
        draw_gt=False,
        draw_bbox=with_boxes,
        kpt_thr=kpt_thr,
    )
    return mmcv.rgb2bgr(drawn)
