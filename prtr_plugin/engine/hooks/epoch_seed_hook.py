from functools import partial

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner, set_random_seed
from mmpose.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds the random number generators anew in every epoch.

    A resumed run then draws the same numbers as an uninterrupted one. mmengine
    seeds only at the start of a run, so that a resumed run would repeat the
    augmentation of the first epoch, and workers that are not persistent would
    repeat it in every epoch.

    For epoch-based training. The workers of the train dataloader must start
    anew in each epoch: ``train_dataloader=dict(persistent_workers=False)``.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the workers.

        Raises:
            ValueError: If the train dataloader has persistent workers.
        """
        if runner.train_dataloader.persistent_workers:
            raise ValueError(
                'EpochSeedHook cannot reseed persistent workers. Set '
                'train_dataloader.persistent_workers=False, or remove the '
                'hook from custom_hooks.'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process and the workers that it is going to start."""
        # hashed, because workers add their number to it: with seed + epoch the
        # second worker would draw what the first one draws in the next epoch
        mixed = np.random.SeedSequence([runner.seed, runner.epoch])
        seed = int(mixed.generate_state(1)[0]) // 2
        set_random_seed(seed)
        # mmengine's worker_init_fn has a fixed seed; without one PyTorch draws
        # the seeds from the generator that was just seeded
        loader = runner.train_dataloader
        if 'seed' in getattr(loader.worker_init_fn, 'keywords', ()):
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=seed)
