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

    ``category_id``, which CocoMetric takes for the category of every
    prediction, becomes that of :class:`CocoPersonDataset`.

    Args:
        meta_keys (Sequence[str]): Meta keys to store in the data sample.
            Defaults to those of the parent class that fit whole images
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
            'category_id',
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

    def transform(self, results: dict) -> dict:
        """Pack; see the parent class.

        Raises:
            ValueError: If the picture has another size than the annotation
                file says (``ann_shape``, as (height, width)).
        """
        expected, shape = results.get('ann_shape'), results.get('ori_shape')
        if expected and shape and tuple(expected) != tuple(shape):
            raise ValueError(
                f'{results.get("img_path")} is {shape[1]} wide and {shape[0]} high, but the '
                f'annotation file says width={expected[1]} and height={expected[0]}: correct it. '
                'If they are exchanged, the picture is turned by its EXIF data.'
            )
        # the dataset has a number per annotated person
        results = {key: value for key, value in results.items() if key != 'category_id'}
        if 'person_category_id' in results:
            results['category_id'] = results['person_category_id']
        return super().transform(results)
