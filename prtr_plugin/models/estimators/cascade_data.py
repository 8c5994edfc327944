"""Data samples to and from :class:`PRTRCascade`."""

from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.utils.typing import OptConfigType, SampleList
from torch import Tensor


def fill_cfg(name: str, cfg: OptConfigType, **defaults) -> dict:
    """Fill in the defaults of a config, and check it.

    Args:
        name (str): What to call the config in an error
        cfg (dict, optional): The config
        **defaults: All keys that it may have, of those of ``train_cfg`` and
            ``test_cfg`` of :class:`PRTRCascade`

    Returns:
        dict: The config with all keys.

    Raises:
        ValueError: If there is another key, or a value is out of range or of
            the wrong type.
    """
    unknown = set(cfg or ()) - set(defaults)
    if unknown:
        raise ValueError(
            f'{name} of PRTRCascade has unknown keys {sorted(unknown)}. It takes '
            f'{sorted(defaults)}.'
        )
    filled = {**defaults, **(cfg or {})}
    for key, value in filled.items():
        field = f'model.{name}.{key}'
        if key == 'score_thr':
            check_score_thr(value, field)
        elif key == 'nms_thr':
            if value is not None and not (_is_number(value) and 0 < value <= 1):
                raise ValueError(
                    f'{field} must be an IoU above 0 and up to 1, or None for no NMS, but is '
                    f'{value!r}.'
                )
        elif not (isinstance(value, Integral) and _is_number(value) and int(value) >= 1):
            raise ValueError(f'{field} must be a positive whole number, but is {value!r}.')
    return filled


def check_score_thr(score_thr: float, name: str = 'score_thr') -> None:
    """Check a threshold of scores.

    Raises:
        ValueError: If it is not a number from 0 to 1.
    """
    if not (_is_number(score_thr) and 0 <= score_thr <= 1):
        raise ValueError(f'{name} must be a score from 0 to 1, but is {score_thr!r}.')


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_metainfo(inputs: Tensor, data_samples: SampleList, *keys: str) -> None:
    """Check the meta information and add the size of the batch.

    Args:
        inputs (Tensor): Padded images in shape (B, 3, H, W)
        data_samples (List[:obj:`PoseDataSample`]): Data samples, which get
            ``batch_input_shape``
        *keys (str): Keys that the meta information must have

    Raises:
        ValueError: If a key is missing.
    """
    for sample in data_samples:
        for key in keys:
            if key not in sample.metainfo:
                raise ValueError(
                    f'PRTRCascade needs {key} in the meta information of its '
                    'data samples. Add it to meta_keys of PackPersonInputs.'
                )
        sample.set_metainfo(dict(batch_input_shape=tuple(inputs.shape[-2:])))


def samples_without_padding(inputs: Tensor) -> list[SimpleNamespace]:
    """Make substitutes for the data samples of images without padding.

    Data samples copy their meta information, which fails for the sizes of a
    model that is being traced.

    Args:
        inputs (Tensor): Images in shape (B, 3, H, W)

    Returns:
        List[SimpleNamespace]: A single one, with the size of all images.
    """
    size = tuple(inputs.shape[-2:])
    return [SimpleNamespace(img_shape=size, batch_input_shape=size)]


def split_ground_truth(
    sample: PoseDataSample, num_keypoints: int, device: str | torch.device
) -> tuple[InstanceData, InstanceData]:
    """Split the ground truth of an image into people and crowds.

    ``gt_instance_labels`` of the data sample holds for P people

        - ``bboxes`` in [x1, y1, x2, y2], in pixels of the input image, in
            shape (P, 4)
        - ``keypoints`` in pixels of the input image, in shape (P, K, 2)
        - ``keypoints_visible`` in shape (P, K), positive for labelled joints,
            whose coordinates alone are of use. A person without any trains
            only the box
        - ``iscrowd`` (optional) in shape (P, ). Non-zero for regions that are
            neither person nor background

    and may be empty if there is nobody.

    Args:
        sample (:obj:`PoseDataSample`): Data sample of the image
        num_keypoints (int): Number of joints K
        device (str | torch.device): Device of the result if it is empty

    Returns:
        tuple[:obj:`InstanceData`, :obj:`InstanceData`]: People and crowds,
        with ``bboxes`` in shape (P, 4), ``labels`` (0) in shape (P, ),
        ``keypoints`` in shape (P, K, 2) and ``keypoints_visible`` in shape
        (P, K). Boxes without area are left out.

    Raises:
        ValueError: If a box or labelled keypoint is NaN or infinite, or a
            field is missing.
    """
    labels = sample.get('gt_instance_labels', InstanceData())
    if not labels.keys():
        labels = InstanceData(
            bboxes=torch.zeros(0, 4, device=device),
            keypoints=torch.zeros(0, num_keypoints, 2, device=device),
            keypoints_visible=torch.zeros(0, num_keypoints, device=device),
        )
    for name in ('bboxes', 'keypoints', 'keypoints_visible'):
        if name not in labels:
            raise ValueError(
                f'PRTRCascade needs {name} in gt_instance_labels, which has '
                f'{sorted(labels.keys())}. Pack the samples with PackPersonInputs.'
            )

    bboxes, labelled = labels.bboxes.float(), labels.keypoints_visible > 0
    instances = InstanceData(
        bboxes=bboxes,
        labels=bboxes.new_zeros(len(bboxes), dtype=torch.long),
        # not a product, which would keep a NaN
        keypoints=labels.keypoints.float().masked_fill(~labelled[..., None], 0),
        keypoints_visible=labels.keypoints_visible,
    )
    for name in ('bboxes', 'keypoints'):
        if not instances[name].isfinite().all():
            raise ValueError(
                f'PRTRCascade got NaN or infinite {name} as ground truth of '
                f'image {sample.get("img_path", "")}. Correct the annotations '
                'or the transforms that made them.'
            )
    exists = (bboxes[:, 2:] > bboxes[:, :2]).all(dim=1)
    crowd = torch.zeros_like(exists)
    if 'iscrowd' in labels:
        crowd = labels.iscrowd > 0
    return instances[exists & ~crowd], instances[exists & crowd]


def select_people(people: Tensor, score_thr: float, nms_thr: float | None) -> Tensor:
    """Choose the people of a batch to keep.

    Args:
        people (Tensor): Boxes in [cx, cy, w, h] and their scores, on the host,
            in shape (B, P, 5)
        score_thr (float): Score above which a person is kept
        nms_thr (float, optional): IoU, inside the image, above which the
            person with the lower score is dropped, ``None`` to keep both

    Returns:
        Tensor: Whether each is kept, in shape (B, P).
    """
    kept = people[..., 4] > score_thr
    if nms_thr is None:
        return kept
    boxes, scores = people.flatten(0, 1).double().split((4, 1), dim=1)
    corners = bbox_cxcywh_to_xyxy(boxes).clip(0, 1)
    # [x1, y1, w, h]; the IoU does not depend on the units of the axes
    corners[:, 2:] -= corners[:, :2]
    images = np.repeat(np.arange(len(people)), people.shape[1])
    unique = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), scores.flatten().tolist(), images.tolist(), score_thr, nms_thr
    )
    is_unique = torch.zeros(kept.numel(), dtype=torch.bool)
    is_unique[torch.from_numpy(np.asarray(unique, np.int64).reshape(-1))] = True
    return kept & is_unique.view_as(kept)


def pack_people(
    boxes: Tensor,
    scores: Tensor,
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    ori_shape: tuple[int, ...],
) -> InstanceData:
    """Convert predictions for an image to pixels of the original image.

    Args:
        boxes (Tensor): Boxes in [cx, cy, w, h], relative to the image, in
            shape (P, 4)
        scores (Tensor): Their scores in shape (P, )
        keypoints (np.ndarray): Relative to the image, in shape (P, K, 2)
        keypoint_scores (np.ndarray): In shape (P, K)
        ori_shape (tuple): Height and width of the original image

    Returns:
        :obj:`InstanceData`: See :meth:`PRTRCascade.predict`.
    """
    size = np.array(ori_shape[1::-1], dtype=np.float32)
    bboxes = bbox_cxcywh_to_xyxy(boxes).clip(0, 1).numpy()
    return InstanceData(
        bboxes=bboxes * np.tile(size, 2),
        bbox_scores=scores.numpy(),
        keypoints=keypoints * size,
        keypoint_scores=keypoint_scores,
        keypoints_visible=keypoint_scores,
    )
