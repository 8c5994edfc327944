import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..checkpoints import read_weights, trust_checkpoint
from ..datasets import check_data_files
from ..engine import setup_cpu_distributed
from ..engine.hooks import PartialLoadHook, StrictLoadHook
from ..evaluation import use_safe_metrics
from ..fileio import check_output, check_output_folder, write_file
from .checks import check_batches, check_config, check_shapes, explain_build_errors
from .config import load_config
from .run_folder import (
    UnlockHook,
    checked_work_folder,
    find_start,
    is_first_process,
    lock_work_folder,
    save_whole_checkpoints,
)


def test(config: str, checkpoint: str, **options) -> dict[str, float]:
    """Evaluate a model on the test data.

    Args:
        config (str): Config file, or the name of a model
        checkpoint (str): Checkpoint that fits the model exactly
        **options: See :func:`build_test_runner`

    Returns:
        Dict[str, float]: The metrics by name, such as ``coco/AP``.

    Raises:
        CheckpointError: If the checkpoint does not fit.
        ValueError: If an option does not fit the config, or an annotation
            file is damaged.
        FileNotFoundError: If a file does not exist.

    Example:
        >>> from prtr_plugin import apis
        >>> apis.test('config.py', 'work_dirs/mine/epoch_20.pth')['coco/AP']
    """
    return build_test_runner(config, checkpoint, **options).test()


def build_train_runner(
    config: str,
    work_dir: str | None = None,
    resume: bool | str = False,
    amp: bool = False,
    no_validate: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: dict | None = None,
    launcher: str = 'none',
    trust: bool = False,
    force: bool = False,
) -> Runner:
    """Build the runner of :func:`train`, after checking all arguments.

    Args:
        config (str): Config file, or the name of a model
        work_dir (str, optional): Folder for logs and checkpoints. Defaults to
            that of the config, or ``work_dirs/<name of the config>``
        resume (bool | str): Checkpoint to resume from; True for the newest one
            in the work folder that can be read, and a training from the
            beginning if it has none. Defaults to ``False``
        amp (bool): Whether to train in mixed precision: in float16 on a GPU,
            in bfloat16 on the CPU. Defaults to ``False``
        no_validate (bool): Whether to train without evaluation. Defaults to
            ``False``
        auto_scale_lr (bool): Whether to scale the learning rate by the total
            batch size over the ``auto_scale_lr.base_batch_size`` of the
            config. Defaults to ``False``
        cfg_options (dict, optional): Settings of the config to override, see
            :func:`load_config`
        launcher (str): How the processes of a distributed job were started:
            ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``. Defaults to
            ``'none'``
        trust (bool): Whether to unpickle any Python object in the checkpoints
            of this run, which can run arbitrary code. Defaults to ``False``
        force (bool): Whether to train in a work folder that has checkpoints of
            another run, which are replaced by those of the same name. Defaults
            to ``False``

    Returns:
        Runner: mmengine's runner, with model, optimizer and, unless rates are
        to be scaled, schedules built. A checkpoint to resume from is loaded by
        its ``train()``, which raises a ``CheckpointError`` if it does not fit.
        Until then no other process can train in the work folder.

    Raises:
        BlockingIOError: If another run is using the work folder.
        CheckpointError: If a checkpoint cannot be read without running code,
            or does not hold what is needed.
        FileExistsError: If the work folder has checkpoints of another run, and
            neither ``resume`` nor ``force`` is set.
        FileNotFoundError: If the config, the checkpoint or an annotation file
            does not exist.
        ValueError: If an option does not fit the config, or an annotation
            file is damaged.
    """
    cfg = load_config(config, cfg_options)
    _set_work_dir(cfg, work_dir)
    cfg.launcher = launcher
    save_whole_checkpoints(cfg)
    with checked_work_folder(cfg):
        messages = find_start(cfg, resume, trust, force)
        for path, key in _starts(cfg).items():
            remedy = f'Set {key} to another one; the README beside the config says how to make it.'
            _check_checkpoint(path, remedy, trust)
        if no_validate:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        if amp:
            use_amp(cfg)
        if auto_scale_lr:
            if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
                raise ValueError(
                    'auto_scale_lr needs auto_scale_lr=dict(base_batch_size=...) in '
                    f'the config, which {config} lacks: add the total batch size '
                    'that its learning rate was chosen for.'
                )
            cfg.auto_scale_lr.enable = True
        _check_settings(cfg, ('train', 'val'))
        lock_work_folder(cfg)
        runner = _build_runner(cfg, ('train', 'val'))
    for message in messages:
        runner.logger.warning(message)
    if cfg.get('load_from'):
        runner.register_hook(StrictLoadHook() if cfg.get('resume') else PartialLoadHook())
    runner.register_hook(UnlockHook())
    return runner


def build_test_runner(
    config: str,
    checkpoint: str,
    work_dir: str | None = None,
    out: str | None = None,
    dump: str | None = None,
    show_dir: str | None = None,
    cfg_options: dict | None = None,
    launcher: str = 'none',
    trust: bool = False,
    force: bool = False,
) -> Runner:
    """Build the runner of :func:`test`, after checking all arguments.

    Args:
        config (str): Config file, or the name of a model
        checkpoint (str): Checkpoint that fits the model exactly
        work_dir (str, optional): Folder for logs. Defaults to that of the
            config, or ``work_dirs/<name of the config>``
        out (str, optional): File for the metrics, .json, .yml or .pkl
        dump (str, optional): File for the predictions, .pkl or .pickle
        show_dir (str, optional): Folder for pictures of the predictions
        cfg_options (dict, optional): Settings of the config to override, see
            :func:`load_config`
        launcher (str): See :func:`build_train_runner`
        trust (bool): See :func:`build_train_runner`
        force (bool): Whether ``out``, ``dump`` and ``show_dir`` may exist.
            Defaults to ``False``

    Returns:
        Runner: mmengine's runner, with the model built. The checkpoint is
        loaded by its ``test()``, which raises a ``CheckpointError`` if it
        does not fit.

    Raises:
        CheckpointError: If the checkpoint cannot be read without running code.
        FileExistsError: If an output exists and ``force`` is not set.
        FileNotFoundError: If the config, the checkpoint or an annotation file
            does not exist.
        ValueError: If an option does not fit the config, an annotation file is
            damaged, or the ending of an output is unknown.
    """
    cfg = load_config(config, cfg_options)
    _set_work_dir(cfg, work_dir)
    cfg.launcher = launcher
    cfg.load_from = checkpoint
    _check_checkpoint(checkpoint, 'Give the path of another one.', trust)
    if is_first_process(launcher):
        formats = ['.json', '.yml', '.yaml', '.pkl', '.pickle']
        if out:
            check_output(out, force, formats, [checkpoint])
        if dump:
            check_output(dump, force, formats[-2:], [checkpoint])
        if show_dir:
            check_output_folder(show_dir, force)
    if dump:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=dump)]
    if show_dir:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise ValueError(
                'show_dir needs default_hooks.visualization in the config, which '
                f"{config} lacks: inherit mmpose's default_runtime.py or add the "
                'PoseVisualizationHook.'
            )
        cfg.default_hooks.visualization.enable = True
        # mmpose would take a relative one for a folder inside of work_dir
        cfg.default_hooks.visualization.out_dir = os.path.abspath(show_dir)
    _check_settings(cfg, ('test',))
    runner = _build_runner(cfg, ('test',))
    runner.register_hook(StrictLoadHook())
    if out:
        runner.register_hook(_MetricsFileHook(out))
    return runner


class _MetricsFileHook(Hook):
    """Writes the metrics of a test to a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        if is_main_process():
            with write_file(self.path) as file:
                mmengine.dump(metrics, file)


def _check_checkpoint(path: str, remedy: str, trust: bool) -> None:
    """Read what a run is going to load, before anything is built."""
    if trust:
        trust_checkpoint(path)
    if '://' in path:
        return
    if not Path(path).exists():
        raise FileNotFoundError(f'The checkpoint {path} does not exist. {remedy}')
    read_weights(path, trust)


def _starts(cfg: Config) -> dict[str, str]:
    """The checkpoints that training starts from, and the keys that name them."""
    found = {path: key for key, path in _pretrained(cfg.get('model'), 'model')}
    if cfg.get('load_from'):
        found[cfg.load_from] = 'load_from'
    return found


def _pretrained(cfg: Any, key: str) -> Iterator[tuple[str, str]]:
    """Keys and paths of the checkpoints that a model starts from with ``init_cfg``."""
    if isinstance(cfg, (list, tuple)):
        for i, value in enumerate(cfg):
            yield from _pretrained(value, f'{key}.{i}')
    if isinstance(cfg, dict):
        if str(cfg.get('type')).endswith('Pretrained') and cfg.get('checkpoint'):
            yield f'{key}.checkpoint', cfg['checkpoint']
        for name, value in cfg.items():
            yield from _pretrained(value, f'{key}.{name}')


def use_amp(cfg: Config) -> None:
    """Replace the optimizer wrapper of a config with one for mixed precision.

    Raises:
        ValueError: If it has another one.
    """
    # float16, which is fast on GPUs only, needs its losses scaled
    amp = 'BFloat16OptimWrapper' if get_device() == 'cpu' else 'AmpOptimWrapper'
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    # or the one of another machine
    if wrapper not in ('OptimWrapper', 'BFloat16OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f'amp replaces optim_wrapper.type="OptimWrapper" with "{amp}" on this '
            f'machine, but the config has "{wrapper}": remove one of the two.'
        )
    cfg.optim_wrapper.type = amp
    if amp == 'AmpOptimWrapper':
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        cfg.optim_wrapper.pop('loss_scale', None)


def _set_work_dir(cfg: Config, work_dir: str | None) -> None:
    if work_dir:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(cfg.filename).stem)


def _check_settings(cfg: Config, splits: tuple[str, ...]) -> None:
    """Check all that can be checked before a folder is made."""
    # there is no process group yet that could give the rank
    if is_first_process(cfg.launcher):
        check_data_files(cfg, splits)
    check_config(cfg, splits)


def _build_runner(cfg: Config, splits: tuple[str, ...]) -> Runner:
    if cfg.get('visualizer'):
        # mmengine keeps visualizers by name, and without one names them after
        # the run; with one, the next run of this process would log into the
        # folder of this one
        cfg.visualizer.pop('name', None)
    for split in splits:
        use_safe_metrics(cfg.get(f'{split}_evaluator'))
    setup_cpu_distributed(cfg)
    if cfg.filename and Path(cfg.filename).resolve().parent == Path(cfg.work_dir).resolve():
        # mmengine writes the whole config under the same name into that folder
        name = Path(cfg.filename).with_name(f'{Path(cfg.filename).stem}_whole.py')
        cfg = Config(cfg._cfg_dict, cfg_text=cfg.text, filename=str(name))
    with explain_build_errors(cfg):
        runner = Runner.from_cfg(cfg)
        for split in splits:  # what the run would build first
            getattr(runner, f'{split}_loop')
        if 'train' in splits:
            check_batches(runner)  # schedules count them
            _build_optimizer(runner)
    check_shapes(runner)
    return runner


def _build_optimizer(runner: Runner) -> None:
    """Build what ``train()`` would, which takes them as they are."""
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    scaling = runner.auto_scale_lr or {}
    # schedulers start from the scaled rate
    if runner.param_schedulers is not None and not scaling.get('enable'):
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
