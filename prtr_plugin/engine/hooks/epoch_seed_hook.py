from functools import partial

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner, set_random_seed
from mmpose.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Gives the random numbers of every epoch a seed of its own.

    A resumed run then goes on with the numbers of the run that it continues.
    mmengine seeds at the start of a run only, so that a resumed one would
    repeat the augmentation of the first epoch; and workers that are not
    persistent would repeat it in every epoch.

    For epoch-based training. The workers of the train dataloader must start
    with the epoch: ``train_dataloader=dict(persistent_workers=False)``.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the workers.

        Raises:
            ValueError: If the train dataloader has persistent workers.
        """
        if runner.train_dataloader.persistent_workers:
            raise ValueError(
                'EpochSeedHook cannot seed persistent workers anew. Set '
                'train_dataloader.persistent_workers=False, or remove the '
                'hook from custom_hooks.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process and the workers that it is going to start."""
        # mixed, as workers add their number to it: seed + epoch would give
        # the second worker of an epoch the numbers of the first in the next
        mixed = np.random.SeedSequence([runner.seed, runner.epoch])
        seed = int(mixed.generate_state(1)[0]) // 2
        set_random_seed(seed)
        # only mmengine's worker_init_fn has a fixed seed: PyTorch draws that
        # of other ones from the generator that was just seeded
        loader = runner.train_dataloader
        if 'seed' in getattr(loader.worker_init_fn, 'keywords', ()):
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=seed)
