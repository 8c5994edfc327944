import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from prtr_plugin.assignment import batched_linear_assignment


def test_equals_exhaustive_search():
    cost = torch.rand(20, 3, 5, generator=torch.Generator().manual_seed(0))
    columns = batched_linear_assignment(cost)
    for matrix, found in zip(cost.numpy(), columns):
        best = min(itertools.permutations(range(5), 3), key=lambda p: matrix[range(3), p].sum())
        assert tuple(found) == best


@pytest.mark.parametrize('spread', [0.0, 5.0])
def test_equals_scipy_with_and_without_conflicts(spread):
    """A spread over columns makes all rows want the same ones."""
    rng = np.random.default_rng(0)
    cost = rng.random((30, 17, 100)) + spread * rng.random((30, 1, 100))
    columns = batched_linear_assignment(torch.from_numpy(cost))
    for matrix, found in zip(cost.astype(np.float32), columns):
        _, expected = linear_sum_assignment(matrix)
        np.testing.assert_array_equal(found, expected)


def test_solver_only_sees_conflicts(monkeypatch):
    seen = []

    def spy(matrix, *args):
        seen.append(matrix)
        return linear_sum_assignment(matrix, *args)

    monkeypatch.setattr('prtr_plugin.assignment.linear_sum_assignment', spy)
    easy = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0]])
    hard = torch.tensor([[0.0, 3.0, 9.0], [0.0, 1.0, 9.0]])
    columns = batched_linear_assignment(torch.stack((easy, hard)))
    assert columns.tolist() == [[0, 1], [0, 1]]
    assert len(seen) == 1


def test_maximize():
    torch.manual_seed(0)
    gain = torch.rand(20, 4, 6)
    columns = batched_linear_assignment(gain, maximize=True)
    for matrix, found in zip(gain.numpy(), columns):
        assert found.tolist() == linear_sum_assignment(-matrix)[1].tolist()


def test_empty_batch():
    assert batched_linear_assignment(torch.rand(0, 3, 5)).shape == (0, 3)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_non_finite_cost(value):
    cost = torch.rand(4, 3, 5)
    cost[2, 1, 0] = value
    with pytest.raises(FloatingPointError, match='1 of 4'):
        batched_linear_assignment(cost)
