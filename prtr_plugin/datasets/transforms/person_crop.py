import numpy as np
from mmpose.datasets.transforms import BottomupRandomCrop
from mmpose.registry import TRANSFORMS

# fields with an entry per person in bottom-up mode that the parent class does
# not filter correctly
PER_PERSON = ('bbox_score', 'num_keypoints', 'area', 'iscrowd', 'id', 'category_id', 'raw_ann_info')


@TRANSFORMS.register_module()
class PersonRandomCrop(BottomupRandomCrop):
    """mmpose's random crop for any number of people.

    The parent class fails if there is more than one person, because it takes
    the truth value of an array, and keeps ``area`` and ``num_keypoints`` of
    people outside the crop. Here all fields of a person are removed together.
    Joints outside the crop are no longer labelled; ``num_keypoints`` stays as
    annotated.

    See the parent class for the arguments, keys and the random choice. Masks
    are not cropped: use it with :class:`CocoPersonDataset`, which has none.
    """

    def transform(self, results: dict) -> dict | None:
        """Crop; see the parent class.

        Returns:
            dict | None: The result dict, or ``None`` if nobody is left and
            ``allow_negative_crop`` is not set.
        """
        people = {key: results.pop(key) for key in PER_PERSON if results.get(key) is not None}
        # ids in a list are a field that the parent class filters correctly
        results['id'] = list(range(len(results.get('bbox', ()))))
        results = super().transform(results)
        if results is None:
            return None
        kept = results.pop('id')
        for key, value in people.items():
            results[key] = (
                value[kept] if isinstance(value, np.ndarray) else [value[i] for i in kept]
            )
        return results
