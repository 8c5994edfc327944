"""Random numbers that depend on the epoch only."""

import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader, Dataset

from prtr_plugin.engine.hooks import EpochSeedHook


class Numbers(Dataset):
    """Random numbers from all three generators."""

    def __len__(self):
        return 4

    def __getitem__(self, idx):
        return [random.random(), np.random.rand(), torch.rand(()).item()]


def make_runner(num_workers, seed=3, **kwargs):
    init = partial(worker_init_fn, num_workers=num_workers, rank=0, seed=seed)
    loader = DataLoader(
        Numbers(),
        num_workers=num_workers,
        collate_fn=list,
        worker_init_fn=init if num_workers else None,
        **kwargs,
    )
    return SimpleNamespace(train_dataloader=loader, seed=seed, epoch=0)


def epochs(runner, numbers):
    """What the dataset draws in some epochs."""
    hook, drawn = EpochSeedHook(), []
    hook.before_train(runner)
    for runner.epoch in numbers:
        hook.before_train_epoch(runner)
        drawn.append(np.array(list(runner.train_dataloader)).reshape(4, 3))
    return drawn


@pytest.mark.parametrize('num_workers', [0, 2])
def test_epochs_differ_and_repeat(num_workers):
    first, second = epochs(make_runner(num_workers), (0, 1))
    assert len(np.unique([first, second])) == 24
    # a run that goes on with the second epoch
    (again,) = epochs(make_runner(num_workers), (1,))
    assert (again == second).all()
    (other,) = epochs(make_runner(num_workers, seed=4), (1,))
    assert (other != second).all()


def test_persistent_workers_are_refused():
    runner = make_runner(1, persistent_workers=True)
    with pytest.raises(ValueError, match='persistent_workers=False'):
        EpochSeedHook().before_train(runner)
