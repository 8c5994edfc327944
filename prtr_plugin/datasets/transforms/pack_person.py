from collections.abc import Sequence

from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackPersonInputs(PackPoseInputs):
    """Pack whole images with people, boxes and crowd flags as labels.

    ``gt_instance_labels`` of the data sample gets the labels that
    :class:`PRTRCascade` learns from, in pixels of the input image:
    ``bboxes`` in shape (P, 4), ``keypoints`` in shape (P, K, 2),
    ``keypoints_visible`` in shape (P, K) and ``iscrowd`` in shape (P, ).
    It is empty for an image without people.

    Args:
        meta_keys (Sequence[str]): Meta keys to store in the data sample.
            Defaults to those of the parent class that fit whole images.
            ``category_id`` does not: CocoMetric takes it for the category of
            every prediction, but here it has one number per annotated person
    """

    label_mapping_table = dict(
        bbox='bboxes',
        keypoints='keypoints',
        keypoints_visible='keypoints_visible',
        iscrowd='iscrowd',
    )

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'id',
            'img_id',
            'img_path',
            'crowd_index',
            'ori_shape',
            'img_shape',
            'flip',
            'flip_direction',
            'flip_indices',
            'raw_ann_info',
            'dataset_name',
        ),
    ) -> None:
        super().__init__(meta_keys=meta_keys)
