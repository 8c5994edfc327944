"""The folder of a training: which one, who uses it, and where training goes on."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..checkpoints import find_resumable, numbered_checkpoints, training_state
from ..fileio import check_output_folder
from ..folder_lock import lock_folder, unlock_folder

# what is in the folder of a run before the first step; mmengine names folders by the time
_PLANNED = re.compile(r'config(_whole)?\.py|init\.pth|annotations|\.lock|\d{8}_\d{6}')
_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def new_run_folder(work_dir: str | Path | None, source: Path) -> Path:
    """The folder of a new run, which is not made here.

    Args:
        work_dir (str | Path, optional): See :func:`plan_training`
        source (Path): Data or config that names the folder otherwise

    Raises:
        FileExistsError: If ``work_dir`` is given and not empty.
        OSError: If it cannot be written to.
    """
    if work_dir is not None:
        folder = Path(work_dir)
        check_output_folder(folder, force=True)
        if folder.exists() and any(folder.iterdir()):
            config = folder / 'config.py'
            resume = f', or continue the run in it with config={config} resume=true'
            raise FileExistsError(
                f'The folder "{folder}" is not empty: give another one (out, work_dir)'
                f'{resume if config.exists() else ""}.'
            )
        return folder
    resolved = source.expanduser().resolve()
    first = Path('work_dirs') / (
        resolved.stem if resolved.suffix in ('.py', '.json') else resolved.name
    )
    folder, number = first, 1
    while folder.exists() and any(folder.iterdir()):
        number += 1
        folder = first.with_name(f'{first.name}-{number}')
    return folder


def remove_unstarted(work_dir: Path, text: str) -> None:
    """Remove the folder of a run that could not start, so that another one can have it.

    A folder stays if its config was changed or anything else was put into it.

    Args:
        work_dir (Path): Folder that :func:`plan_training` filled
        text (str): What it wrote into ``config.py``
    """
    config = work_dir / 'config.py'
    if (
        config.is_file()
        and config.read_text(encoding='utf-8') == text
        and all(_PLANNED.fullmatch(path.name) for path in work_dir.iterdir())
    ):
        shutil.rmtree(work_dir, ignore_errors=True)


def is_first_process(launcher: str) -> bool:
    """Whether this is the first process of a job, before there is a process group."""
    return os.environ.get(_RANKS.get(launcher, ''), '0') == '0'


def lock_work_folder(cfg: Config) -> None:
    """Keep other runs out of the work folder; the processes of this one share it."""
    if is_first_process(cfg.launcher):
        lock_folder(cfg.work_dir)


@contextmanager
def checked_work_folder(cfg: Config) -> Iterator[None]:
    """Lock the work folder, if there is one, and unlock it if the block fails."""
    # a run that is refused leaves no new folder behind
    if Path(cfg.work_dir).is_dir():
        lock_work_folder(cfg)
    try:
        yield
    except BaseException:
        unlock_folder(cfg.work_dir)
        raise


class UnlockHook(Hook):
    """Lets other processes train in the work folder when a run has ended."""

    def after_run(self, runner: Runner) -> None:
        """See :func:`unlock_folder`."""
        unlock_folder(runner.work_dir)


def save_whole_checkpoints(cfg: Config) -> None:
    """Use the hook that saves whole files in place of mmengine's."""
    cfg.default_hooks = cfg.get('default_hooks') or {}
    cfg.default_hooks.setdefault('checkpoint', dict(type='CheckpointHook'))
    for hook in (*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or ())):
        if isinstance(hook, dict) and hook.get('type') in (
            'CheckpointHook',
            'mmengine.CheckpointHook',
        ):
            hook['type'] = 'AtomicCheckpointHook'


def find_start(cfg: Config, resume: bool | str, trust: bool, force: bool) -> list[str]:
    """Find out where training begins.

    Args:
        cfg (:obj:`mmengine.Config`): The config of the run; ``resume`` and
            ``load_from`` are set in place
        resume (bool | str): See :func:`build_train_runner`
        trust (bool): See :func:`build_train_runner`
        force (bool): See :func:`build_train_runner`

    Returns:
        List[str]: What to tell the user.

    Raises:
        See :func:`build_train_runner`.
    """
    if not resume and cfg.get('resume'):
        # of the config, where load_from=None means the newest one
        resume = cfg.get('load_from') or True
    folder, template = _checkpoint_names(cfg)
    if not resume:
        found = sorted(
            numbered_checkpoints(folder, template), key=lambda path: path.stat().st_mtime
        )
        if found and not force and is_first_process(cfg.launcher):
            raise FileExistsError(
                f'"{folder}" has checkpoints of another run ({found[-1].name}). Resume it '
                '(--resume), give another folder (--work-dir), or train anew in this one '
                '(--force), which replaces them one by one.'
            )
        return []
    messages = []
    if resume is True:
        path, state, skipped = find_resumable(folder, template, trust)
        if path is None:
            cfg.resume = False
            name = template.format('N')
            return [f'"{folder}" has no checkpoint {name}: training starts from the beginning.']
        messages = [f'Not resumed from a newer checkpoint: {reason}' for reason in skipped]
        messages.append(f'Resuming from {path}, the newest checkpoint that can be read.')
        resume = str(path)
    else:
        state = training_state(resume, trust) if '://' not in resume else {}
    cfg.resume, cfg.load_from = True, resume
    train_cfg = cfg.get('train_cfg') or {}
    for unit, limit in (('epoch', 'max_epochs'), ('iter', 'max_iters')):
        if train_cfg.get(limit) and state.get(unit, 0) >= train_cfg[limit]:
            messages.append(
                f'Nothing is left to train: {resume} has finished {state[unit]} of '
                f'{train_cfg[limit]} {unit}s. Set train_cfg.{limit} to a larger number to go on.'
            )
    return messages


def _checkpoint_names(cfg: Config) -> tuple[str, str]:
    """Where and under what names the hook saves checkpoints."""
    hook = cfg.default_hooks.checkpoint or {}
    folder = cfg.work_dir
    if hook.get('out_dir'):
        folder = str(Path(hook['out_dir'], Path(folder).name))
    default = 'epoch_{}.pth' if hook.get('by_epoch', True) else 'iter_{}.pth'
    return folder, hook.get('filename_tmpl') or default
