"""Comparison of an exported model with the original, and timing."""

import numpy as np
import torch

from ..assignment import batched_linear_assignment
from .formats import Run


def compare(
    original: Run, exported: Run, images: np.ndarray, output_names: list[str]
) -> dict[str, float]:
    """Compare the outputs of an exported model with those of the original.

    Args:
        original (Run): The original
        exported (Run): The exported model
        images (np.ndarray): Images in shape (B, 3, H, W), uint8
        output_names (List[str]): Names of the outputs of both

    Returns:
        Dict[str, float]: The largest difference of each output, relative to
        its largest value if that is above 1.

    Raises:
        ValueError: If the exported model does not run.
    """
    expected = dict(zip(output_names, original(images)))
    try:
        found = dict(zip(output_names, exported(images)))
    except Exception as error:  # of many kinds, depending on the format
        raise ValueError(
            f'The exported model does not run for a batch of {len(images)}: {error}'
        ) from error
    if 'boxes' in found:
        # rounding can swap two people with equal scores
        cost = np.abs(expected['boxes'][:, :, None] - found['boxes'][:, None]).sum(-1)
        order = batched_linear_assignment(torch.from_numpy(cost)).numpy()
        found = {name: np.stack([v[o] for v, o in zip(x, order)]) for name, x in found.items()}
    return {
        name: float(np.abs(x - found[name]).max() / max(1, np.abs(x).max()))
        for name, x in expected.items()
    }


def time_run(run: Run, images: np.ndarray, repeats: int) -> float:
    """Time a model, with as many threads as PyTorch uses.

    Args:
        run (Run): The model
        images (np.ndarray): Images in shape (B, 3, H, W), uint8
        repeats (int): Number of runs

    Returns:
        float: Mean time of a run in seconds.
    """
    from torch.utils.benchmark import Timer  # imports build tools: a fifth of a second

    names = dict(run=run, images=images)
    timer = Timer('run(images)', globals=names, num_threads=torch.get_num_threads())
    # warms up first
    return timer.timeit(repeats).mean
