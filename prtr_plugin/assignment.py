"""Batched linear assignment, shared by the matching and the read-out."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def batched_linear_assignment(cost: Tensor, maximize: bool = False) -> np.ndarray:
    """Assign a different column to each row at minimum total cost, per matrix.

    The cost tensor is copied to the host once. If the cheapest columns of all
    rows of a matrix differ, they already are an optimal assignment, so only
    matrices with a conflict go through the Hungarian solver.

    Args:
        cost (Tensor): Costs in shape (N, K, Q) with K <= Q, on any device.
            Fastest if the columns of a row are contiguous in memory
        maximize (bool): Whether to maximise the total instead. Defaults to
            ``False``

    Returns:
        np.ndarray: Column indices in shape (N, K), int64.

    Raises:
        FloatingPointError: If a cost is NaN or infinite.
    """
    costs = cost.detach().float().cpu().numpy()
    finite = np.isfinite(costs).all(axis=(1, 2))
    if not finite.all():
        raise FloatingPointError(
            f'{np.count_nonzero(~finite)} of {len(costs)} assignment cost '
            'matrices contain NaN or infinite values. Check the inputs and the learning rate.'
        )

    columns = costs.argmax(axis=-1) if maximize else costs.argmin(axis=-1)
    ordered = np.sort(columns, axis=-1)
    conflicts = (ordered[:, 1:] == ordered[:, :-1]).any(axis=-1)
    for i in np.flatnonzero(conflicts):
        columns[i] = linear_sum_assignment(costs[i], maximize)[1]
    return columns
