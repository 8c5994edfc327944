from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .errors import CheckpointError

CLASS_LAYER = ('head.fc_cls.weight', 'head.fc_cls.bias')


def map_joints(
    state_dict: Mapping[str, Tensor],
    dataset_meta: Mapping[str, Any],
    new_state_dict: Mapping[str, Tensor],
    new_dataset_meta: Mapping[str, Any],
) -> OrderedDict:
    """Fit weights of a PRTR to another set of joints.

    Only the class layer of the head knows joints: it has a row for each, and
    one for "no keypoint". The rows of joints that both sets name alike are
    kept, and a new joint gets the row that the new model starts with.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of a two-stage PRTR
        dataset_meta (Mapping[str, Any]): Metainfo of its dataset
        new_state_dict (Mapping[str, Tensor]): Weights that the model with the
            other joints starts with
        new_dataset_meta (Mapping[str, Any]): Metainfo of its dataset

    Returns:
        OrderedDict: ``state_dict`` with another class layer.

    Raises:
        CheckpointError: If a state dict has no class layer of that many
            joints.
    """
    names, new_names = joint_names(dataset_meta), joint_names(new_dataset_meta)
    result = OrderedDict(state_dict)
    for key in CLASS_LAYER:
        for weights, joints in ((state_dict, names), (new_state_dict, new_names)):
            if key not in weights or len(weights[key]) != len(joints) + 1:
                raise CheckpointError(
                    f'There is no {key} of {len(joints)} joints and "no keypoint". Give weights '
                    'of a two-stage PRTR, and the metainfo of the dataset that they are for.'
                )
        rows = new_state_dict[key].clone()
        for i, name in enumerate(new_names):
            if name in names:
                rows[i] = state_dict[key][names.index(name)]
        rows[-1] = state_dict[key][-1]  # "no keypoint"
        result[key] = rows
    return result


def joint_names(dataset_meta: Mapping[str, Any]) -> list[str]:
    """Names of the joints of a dataset, in their order.

    Args:
        dataset_meta (Mapping[str, Any]): Metainfo of the dataset, as mmpose
            parses it

    Returns:
        List[str]: The K names.
    """
    names = dataset_meta['keypoint_id2name']
    return [names[i] for i in range(len(names))]
