import os
from pathlib import Path

import mmengine
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from ..checkpoints import CheckpointError, read_checkpoint
from ..datasets import check_data_files
from ..engine import setup_cpu_distributed
from ..engine.hooks import StrictLoadHook
from .checks import check_batches, check_config, check_shapes, explain_build_errors
from .config import load_config


def train(config: str, **options) -> nn.Module:
    """Train a model.

    Args:
        config (str): Config file, or the name of a model
        **options: See :func:`build_train_runner`

    Returns:
        nn.Module: The trained model. The checkpoints are in the work folder.

    Raises:
        CheckpointError: If the checkpoint to resume from does not fit.
        ValueError: If an option does not fit the config, or an annotation
            file is damaged.
        FileNotFoundError: If a file does not exist.

    Example:
        >>> from prtr_plugin.apis import train
        >>> train('config.py', work_dir='work_dirs/mine',
        ...       cfg_options={'train_dataloader.batch_size': 8})
    """
    return build_train_runner(config, **options).train()


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
    try:
        return build_test_runner(config, checkpoint, **options).test()
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint}: {error}') from None


def build_train_runner(
    config: str,
    work_dir: str | None = None,
    resume: bool | str = False,
    amp: bool = False,
    no_validate: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: dict | None = None,
    launcher: str = 'none',
) -> Runner:
    """Build the runner of :func:`train`, after checking all arguments.

    Args:
        config (str): Config file, or the name of a model
        work_dir (str, optional): Folder for logs and checkpoints. Defaults to
            that of the config, or ``work_dirs/<name of the config>``
        resume (bool | str): Checkpoint to resume from; True for the latest one
            in the work folder. Defaults to ``False``
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

    Returns:
        Runner: mmengine's runner, with the model built. A checkpoint to resume
        from is loaded by its ``train()``, which raises a ``CheckpointError``
        if it does not fit.

    Raises:
        CheckpointError: If the checkpoint cannot be read without running code.
        FileNotFoundError: If the config, the checkpoint or an annotation file
            does not exist.
        ValueError: If an option does not fit the config, or an annotation
            file is damaged.
    """
    cfg = load_config(config, cfg_options)
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume is True else resume
    if cfg.get('load_from'):
        _check_checkpoint(
            cfg.load_from,
            'Set resume or load_from to another one; the README beside the '
            'config says how to make the one that it starts from.',
        )
    if no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                'auto_scale_lr needs auto_scale_lr=dict(base_batch_size=...) in '
                f'the config, which {config} lacks: add the total batch size '
                'that its learning rate was chosen for.'
            )
        cfg.auto_scale_lr.enable = True
    runner = _build_runner(cfg, config, work_dir, launcher, ('train', 'val'))
    if cfg.get('resume'):
        runner.register_hook(StrictLoadHook())
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

    Returns:
        Runner: mmengine's runner, with the model built. The checkpoint is
        loaded by its ``test()``, which raises a ``CheckpointError`` if it
        does not fit.

    Raises:
        CheckpointError: If the checkpoint cannot be read without running code.
        FileNotFoundError: If the config, the checkpoint or an annotation file
            does not exist.
        ValueError: If an option does not fit the config, or an annotation
            file is damaged.
    """
    cfg = load_config(config, cfg_options)
    cfg.load_from = checkpoint
    _check_checkpoint(checkpoint, 'Give the path of another one.')
    if dump:
        if not dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f'dump must be a .pkl or .pickle file, but got {dump}.')
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
    runner = _build_runner(cfg, config, work_dir, launcher, ('test',))
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
            mmengine.dump(metrics, self.path)


def _check_checkpoint(path: str, remedy: str) -> None:
    if '://' in path:
        return
    if not Path(path).is_file():
        raise FileNotFoundError(f'The checkpoint {path} does not exist. {remedy}')
    # mmengine would unpickle whatever it holds
    read_checkpoint(path)


def _use_amp(cfg: Config) -> None:
    """Replace the optimizer wrapper with one for mixed precision."""
    # float16, which is fast on GPUs only, needs its losses scaled
    amp = 'BFloat16OptimWrapper' if get_device() == 'cpu' else 'AmpOptimWrapper'
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper not in ('OptimWrapper', amp):
        raise ValueError(
            f'amp replaces optim_wrapper.type="OptimWrapper" with "{amp}" on this '
            f'machine, but the config has "{wrapper}": remove one of the two.'
        )
    cfg.optim_wrapper.type = amp
    if amp == 'AmpOptimWrapper':
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _build_runner(
    cfg: Config, config: str, work_dir: str | None, launcher: str, splits: tuple[str, ...]
) -> Runner:
    cfg.launcher = launcher
    if work_dir:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(cfg.filename).stem)
    if cfg.get('visualizer'):
        # mmengine keeps visualizers by name, and without one names them after
        # the run; with one, the next run of this process would log into the
        # folder of this one
        cfg.visualizer.pop('name', None)
    # there is no process group yet that could give the rank
    if os.environ.get('RANK', '0') == '0':
        check_data_files(cfg, splits)
    setup_cpu_distributed(cfg)
    check_config(cfg, splits)
    with explain_build_errors(cfg):
        runner = Runner.from_cfg(cfg)
        for split in splits:  # what the run would build first
            getattr(runner, f'{split}_loop')
    check_shapes(runner)
    if 'train' in splits:
        check_batches(runner)
    return runner
