from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...checkpoints import CheckpointError
from ...fileio import remove_unfinished, write_file
from .. import file_backend


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """Saves checkpoints so that there is always one to resume from.

    mmengine's hook deletes an old checkpoint, then writes the new one in
    place: a run that is killed meanwhile has lost both. This one writes a
    temporary file, waits until it is on the disk, renames it, does the same
    with ``last_checkpoint``, and deletes the old checkpoint at the end.
    Remote storage is written as mmengine does.

    Args:
        *args: Arguments of the parent class
        **kwargs: Arguments of the parent class

    Raises:
        TypeError: If there is another argument, which mmengine would see only
            when it saves the first checkpoint.
    """

    backend_args: dict | None
    keep_ckpt_ids: deque

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.args:
            raise TypeError(
                f'{type(self).__name__}.__init__() got an unexpected keyword argument '
                f'{min(self.args)!r}'
            )

    def before_train(self, runner: Runner) -> None:
        """Remove what a killed run has left half-written."""
        folder = str(self.out_dir or runner.work_dir)
        if '://' not in folder and not self.backend_args and not self.file_client_args:
            self.backend_args = dict(backend=file_backend.WholeFileBackend.__name__)
        super().before_train(runner)
        if is_main_process():
            remove_unfinished(self.out_dir, '*.pth')
            remove_unfinished(runner.work_dir, 'last_checkpoint')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """As in the parent class, in another order."""
        outdated: list[int] = []
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            kept = [*self.keep_ckpt_ids, step]
            outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            # with the outdated ones: a run that resumes removes what is left of them
            runner.message_hub.update_info('keep_ckpt_ids', outdated + kept)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        with self._explain_errors(self.last_ckpt):
            runner.save_checkpoint(
                self.out_dir,
                filename,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
            )
            if is_main_process():
                with write_file(Path(runner.work_dir, 'last_checkpoint')) as file:
                    file.write_text(self.last_ckpt)
        if is_main_process():
            for old in outdated:
                path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """As in the parent class, but the previous best one goes last."""
        with self._removing_later(), self._explain_errors('the best checkpoint'):
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_later(self) -> Iterator[None]:
        backend = self.file_backend
        outdated: list[str] = []
        backend.remove = outdated.append
        try:
            yield
        finally:
            del backend.remove  # what was set above, not the method
        best = [getattr(self, 'best_ckpt_path', None)]
        best += getattr(self, 'best_ckpt_path_dict', {}).values()
        for path in outdated:
            if path not in best:
                backend.remove(path)

    @contextmanager
    def _explain_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f'Saving {what} failed: {error.strerror or error}. The earlier checkpoints are in '
                'place. Make room, or whatever is needed, and resume.'
            ) from error
