import numpy as np
from mmpose.datasets import CocoDataset
from mmpose.registry import DATASETS


@DATASETS.register_module()
class CocoPersonDataset(CocoDataset):
    """COCO keypoints for detectors: whole images with everybody in them.

    mmpose's dataset in bottom-up mode leaves out

        - annotations without the field ``keypoints``. Here they are people
          without labelled joints, as are those whose joints are all 0
        - images without any annotation, unless ``test_mode``. Here they are
          kept, unless ``filter_cfg`` says otherwise

    and stores ``iscrowd`` in a form that does not reach the model. Here it is
    an array with one flag per annotation, which :class:`PackPersonInputs`
    passes on. Every annotation with a box counts as a person, whatever its
    category, as in the parent class. For evaluation every annotation needs
    ``keypoints``: ``CocoMetric`` requires them.

    Every image has ``ann_shape``, its height and width in the file, which
    :class:`PackPersonInputs` compares with the picture, and
    ``person_category_id``, the category of the annotations if it is a single
    one, which predictions get.

    Args:
        *args: See the parent class
        data_mode (str): Must be ``'bottomup'``. Defaults to ``'bottomup'``
        filter_cfg (dict, optional): ``filter_empty_gt=True`` leaves out
            images without any annotation, as in mmdet. It has no effect if
            ``test_mode`` is set. Defaults to ``None``
        **kwargs: See the parent class.

    Raises:
        ValueError: If ``data_mode`` is not ``'bottomup'``, or ``filter_cfg``
            has an unknown key.
    """

    def __init__(
        self, *args, data_mode: str = 'bottomup', filter_cfg: dict | None = None, **kwargs
    ) -> None:
        if data_mode != 'bottomup':
            raise ValueError(
                f'CocoPersonDataset got data_mode={data_mode!r}. It loads '
                "whole images: use 'bottomup', or CocoDataset for crops."
            )
        unknown = set(filter_cfg or ()) - {'filter_empty_gt'}
        if unknown:
            raise ValueError(
                f'filter_cfg of CocoPersonDataset has unknown keys '
                f"{sorted(unknown)}: it takes 'filter_empty_gt'."
            )
        super().__init__(*args, data_mode=data_mode, filter_cfg=filter_cfg, **kwargs)

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        """Parse an annotation; see the parent class."""
        ann = raw_data_info['raw_ann_info']
        if 'keypoints' not in ann:
            ann = dict(ann, keypoints=[0] * 3 * self.metainfo['num_keypoints'], num_keypoints=0)
        info = super().parse_data_info(dict(raw_data_info, raw_ann_info=ann))
        if info is not None:
            # an array is merged with those of the other people, and indexed
            info['iscrowd'] = np.array([info['iscrowd']], dtype=np.int64)
            # masks are not used, and the parent class fails to merge a
            # missing one with others
            del info['segmentation']
        return info

    def _get_bottomup_data_infos(
        self, instance_list: list[dict], image_list: list[dict]
    ) -> list[dict]:
        """Organize the data list, including the images without people."""
        data_list = super()._get_bottomup_data_infos(instance_list, image_list)
        if not self.test_mode and not (self.filter_cfg or {}).get('filter_empty_gt', False):
            used = {info['img_id'] for info in data_list}
            # as the parent class does for testing
            data_list.extend(
                dict(img_id=img['img_id'], img_path=img['img_path'], id=list(), raw_ann_info=None)
                for img in image_list
                if img['img_id'] not in used
            )
        shapes = {img['img_id']: (img['height'], img['width']) for img in image_list}
        for info in data_list:
            info['ann_shape'] = shapes[info['img_id']]
        categories = {int(instance['category_id']) for instance in instance_list}
        if len(categories) == 1:
            for info in data_list:
                info['person_category_id'] = min(categories)
        return data_list
