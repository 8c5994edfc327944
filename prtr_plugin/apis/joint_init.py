from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.model import BaseModel

from ..checkpoints import CheckpointError, check_state_dict, joint_names, map_joints, read_weights
from ..fileio import write_file
from .model_zoo import load_model


class JointChange(NamedTuple):
    """What became of the joints of a checkpoint.

    Attributes:
        kept (List[str]): Joints of both sets
        new (List[str]): Joints with a random class row
        dropped (List[str]): Joints of the checkpoint only
    """

    kept: list[str]
    new: list[str]
    dropped: list[str]


def write_initial_weights(
    source: str | Path,
    config: str,
    target: str | Path,
    cfg_options: dict | None = None,
    trust: bool = False,
) -> JointChange:
    """Adapt a checkpoint to the joints of a config, to start training from.

    The class layer of the head has a row for each joint. Rows of joints with
    the same name in both sets are kept, a new joint gets the initial row of
    the model of the config, and everything else must fit exactly.

    Args:
        source (str | Path): Checkpoint that names its joints, as those of
            training and :func:`convert_checkpoint` do
        config (str): Config file of the model with the other joints
        target (str | Path): Checkpoint to write
        cfg_options (dict, optional): Settings of the config to override
        trust (bool): Whether to unpickle any Python object in ``source``,
            which can run arbitrary code. Defaults to ``False``

    Returns:
        JointChange: The joints that were kept, are new or were dropped.

    Raises:
        FileNotFoundError: If a file does not exist.
        CheckpointError: If ``source`` cannot be read, does not name its
            joints or does not fit the model.
    """
    weights, found = read_weights(source, trust)
    meta = found.get('dataset_meta')
    if 'keypoint_names' in found:  # of a converter
        meta = dict(keypoint_id2name=dict(enumerate(found['keypoint_names'])))
    if not isinstance(meta, dict):
        raise CheckpointError(
            f'"{source}" does not name its joints: give a checkpoint of a training run or of '
            '`prtr convert`.'
        )
    # so that the rows of new joints are the same in every run
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: BaseModel = load_model(
            config, device='cpu', random_weights=True, cfg_options=cfg_options
        )
    try:
        state_dict = map_joints(weights, meta, model.state_dict(), model.dataset_meta)
        check_state_dict(model, state_dict)
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from None
    with write_file(target) as file:
        torch.save(dict(state_dict=state_dict), file)
    old, new = joint_names(meta), joint_names(model.dataset_meta)
    return JointChange(
        [name for name in new if name in old],
        [name for name in new if name not in old],
        [name for name in old if name not in new],
    )
