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
    """Adapt the weights of a PRTR to another set of joints.

    Only the class layer of the head depends on the joints: it has a row for
    each, and one for "no keypoint". Rows of joints with the same name in both
    sets are kept; a new joint keeps the initial row of the new model.

    Args:
        state_dict (Mapping[str, Tensor]): Weights of a two-stage PRTR
        dataset_meta (Mapping[str, Any]): Metainfo of its dataset
        new_state_dict (Mapping[str, Tensor]): Initial weights of the model
            with the other joints
        new_dataset_meta (Mapping[str, Any]): Metainfo of its dataset

    Returns:
        OrderedDict: ``state_dict`` with the new class layer.

    Raises:
        CheckpointError: If the class layer of a state dict does not have the
            number of joints of its dataset, or these have no names.
    """
    names, new_names = joint_names(dataset_meta), joint_names(new_dataset_meta)
    result = OrderedDict(state_dict)
    for key in CLASS_LAYER:
        for weights, joints in ((state_dict, names), (new_state_dict, new_names)):
            if key not in weights or len(weights[key]) != len(joints) + 1:
                raise CheckpointError(
                    f'There is no {key} for {len(joints)} joints and "no keypoint". Give weights '
                    'of a two-stage PRTR and the metainfo of their dataset.'
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

    Raises:
        CheckpointError: If the metainfo does not name joints 0 to K - 1.
    """
    names = dataset_meta.get('keypoint_id2name')
    if not isinstance(names, Mapping) or set(names) != set(range(len(names))):
        raise CheckpointError(
            f'The metainfo does not name the joints: keypoint_id2name is {names}.'
        )
    return [names[i] for i in range(len(names))]
