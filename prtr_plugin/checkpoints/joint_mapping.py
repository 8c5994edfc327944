from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .errors import CheckpointError

CLASS_BIAS = 'head.class_bias'
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
    sets are kept; a new joint keeps the initial row of the new model. With
    ``class_bias`` every query also has a bias for each joint: a new joint gets
    a query that no joint of both sets starts with.

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
    if CLASS_BIAS in state_dict and CLASS_BIAS in new_state_dict:
        result[CLASS_BIAS] = _map_bias(
            state_dict[CLASS_BIAS], new_state_dict[CLASS_BIAS], names, new_names
        )
    return result


def _map_bias(bias: Tensor, new_bias: Tensor, names: list[str], new_names: list[str]) -> Tensor:
    """The bias of queries for classes, in shape (Q, K + 1), for other joints."""
    result = bias.new_zeros(len(bias), len(new_names) + 1)
    result[:, -1] = bias[:, -1]
    # a query belongs to the joint that its bias favours, a spare one to none
    owners = [names[k] if k < len(names) else None for k in bias.argmax(dim=1).tolist()]
    free = [query for query, owner in enumerate(owners) if owner not in new_names]
    for i, name in enumerate(new_names):
        if name in names:
            result[:, i] = bias[:, names.index(name)]
        elif free:
            query = free.pop(0)
            result[query] = 0
            result[query, i] = new_bias[i, i]
    for query in free:
        if owners[query] is not None:  # of a joint that is gone
            result[query, -1] = new_bias[-1, -1]
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
