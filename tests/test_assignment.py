import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from helpers.fake_cuda import fake_cuda
from prtr_plugin.assignment import batched_linear_assignment, cheapest_columns


def test_equals_exhaustive_search():
    cost = torch.rand(20, 3, 5, generator=torch.Generator().manual_seed(0))
    columns = batched_linear_assignment(cost)
    for matrix, found in zip(cost.numpy(), columns.tolist()):
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
        assert found.tolist() == expected.tolist()


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


def test_ties_have_the_same_total():
    rng = np.random.default_rng(0)
    cost = rng.integers(0, 3, (50, 6, 8)).astype(np.float32)
    columns = batched_linear_assignment(torch.from_numpy(cost)).numpy()
    totals = np.take_along_axis(cost, columns[..., None], axis=2).sum((1, 2))
    for matrix, found, total in zip(cost, columns, totals):
        assert len(set(found)) == 6
        assert total == matrix[linear_sum_assignment(matrix)].sum()


@pytest.mark.parametrize('conflicts', [[], [1], [0, 3]])
def test_only_conflicts_leave_the_device(conflicts, monkeypatch):
    """A number for each matrix does, and the costs of those with a conflict."""
    copied = []

    def spy(x):
        copied.append(x)
        return x

    cost = torch.rand(4, 3, 5)
    cost[:, range(3), range(3)] = -1
    cost[conflicts, 1, 0] = -3
    cost[conflicts, 0, 1] = -0.5
    monkeypatch.setattr(torch.Tensor, 'cpu', spy)
    columns = batched_linear_assignment(cost)
    assert columns.tolist() == [[1, 0, 2] if i in conflicts else [0, 1, 2] for i in range(4)]
    shapes = [x.shape for x in copied]
    assert shapes == [(4,), (len(conflicts), 3, 5)][: 1 + bool(conflicts)]
    for x, i in zip(copied[1:], [conflicts]):
        assert torch.equal(x, cost[i])


@pytest.mark.parametrize('maximize', [False, True])
def test_nothing_is_waited_for_before(maximize):
    with fake_cuda() as waits:
        columns, num_different = cheapest_columns(torch.empty(4, 3, 5, device='cuda'), maximize)
        assert waits == []
    assert (columns.shape, columns.dtype, columns.is_cuda) == ((4, 3), torch.int64, True)
    assert (num_different.shape, num_different.is_cuda) == ((4,), True)


@pytest.mark.parametrize('maximize', [False, True])
def test_the_search_is_that_of_pytorch(maximize):
    """NumPy's on the CPU, PyTorch's on a GPU; ties go to the first column in both."""
    cost = torch.randint(0, 4, (20, 5, 9), generator=torch.Generator().manual_seed(0)).float()
    columns, num_different = cheapest_columns(cost, maximize)
    expected = cost.argmax(dim=-1) if maximize else cost.argmin(dim=-1)
    assert torch.equal(columns, expected)
    assert num_different.tolist() == [len(set(x)) for x in expected.tolist()]
