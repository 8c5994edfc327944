from collections.abc import Mapping
from typing import cast

import torch
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from torch import Tensor, nn

from .errors import CheckpointError


def check_state_dict(
    model: nn.Module | dict,
    state_dict: Mapping[str, Tensor],
    message: str = 'The checkpoint does not fit the model of the config. Use the config that the '
    'checkpoint was trained with.',
) -> None:
    """Check that the tensors of a checkpoint fit a model exactly.

    Args:
        model (nn.Module | dict): The model, or its config, which is built
            without memory for weights
        state_dict (Mapping[str, Tensor]): Tensors by name
        message (str): Start of the error message

    Raises:
        CheckpointError: If a key is missing or unexpected, or a tensor has
            another shape than in the model. The message names them.
    """
    if not isinstance(model, nn.Module):
        with DefaultScope.overwrite_default_scope('mmpose'), torch.device('meta'):
            model = cast(nn.Module, MODELS.build(model))
    expected = model.state_dict()
    problems = {
        'missing': [
            key
            for key in expected
            if key not in state_dict
            # a counter of training steps that testing does not use
            and not key.endswith('num_batches_tracked')
        ],
        'unexpected': [key for key in state_dict if key not in expected],
        'of another shape': [
            f'{key} {tuple(state_dict[key].shape)} instead of {tuple(value.shape)}'
            for key, value in expected.items()
            if key in state_dict and state_dict[key].shape != value.shape
        ],
    }
    if any(problems.values()):
        raise CheckpointError(message, problems)


def check_some_fit(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Check that a checkpoint to start from fills anything of a model.

    Args:
        model (nn.Module): The model
        state_dict (Mapping[str, Tensor]): Tensors by name

    Raises:
        CheckpointError: If no tensor has the name and the shape of one of the
            model.
    """
    expected = model.state_dict()
    if not any(key in expected and expected[key].shape == x.shape for key, x in state_dict.items()):
        raise CheckpointError(
            'The checkpoint fills nothing of the model. Give one of this model or of a part of it; '
            'those of other packages need to be converted.',
            {'in the checkpoint': list(state_dict), 'in the model': list(expected)},
        )
