import copy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.device import get_device
from torch import nn

from ..datasets import OwnData, check_data_files, prepare_data
from ..engine.hooks import Progress, ProgressHook
from ..folder_lock import unlock_folder
from ..model_index import find_config
from .config import load_config
from .device import find_device, use_device
from .joint_init import JointChange, write_initial_weights
from .own_config import Schedule, parse_size, plan_schedule, write_config
from .report import write_report
from .run_folder import new_run_folder, remove_unstarted
from .runner import build_train_runner, use_amp
from .work_folder import find_checkpoint, load_run, summarize_run

DEFAULT_MODEL = 'prtr-s'


class TrainingPlan(NamedTuple):
    """What :func:`plan_training` decided.

    Attributes:
        config (Path): The config that it wrote
        work_dir (Path): Folder of the run
        decisions (Dict[str, str]): A sentence each for ``data``, ``joints``,
            ``model``, ``schedule`` and ``output``
        text (str): What it wrote into the config
    """

    config: Path
    work_dir: Path
    decisions: dict[str, str]
    text: str = ''


def plan_training(
    data: str | Path | None = None,
    config: str | None = None,
    model: str = DEFAULT_MODEL,
    init: str | Path | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    size: str | Sequence[int] | None = None,
    work_dir: str | Path | None = None,
    logger: str | None = None,
    early_stop: int = 0,
    ema: bool = False,
    flip: bool | dict[str, str] | None = None,
    sigmas: float | Sequence[float] | None = None,
    seed: int | None = None,
    device: str | None = None,
    cfg_options: dict | None = None,
    amp: bool = False,
) -> TrainingPlan:
    """Decide how to train on own data, and write it down as a config.

    Args:
        data (str | Path, optional): Folder or file of a dataset with
            keypoints in COCO's layout, see :func:`find_splits`. Its joints,
            links and left/right swaps come from ``categories``
        config (str, optional): Instead of ``data``, the name or path of a
            config with data of its own
        model (str): Name or path of the config whose model is trained on
            ``data``. Defaults to a small two-stage model
        init (str | Path, optional): Checkpoint to start from, or a work
            folder with one, of the same model; its joints may be others, see
            :func:`write_initial_weights`. If it has all joints of ``data``,
            the learning rate is a tenth
        epochs (int, optional): Number of epochs. Defaults to what the size of
            the dataset suggests, see :func:`plan_schedule`
        batch (int, optional): People in a batch or, for a cascade, pictures.
            The default likewise
        size (str | Sequence[int], optional): Height and width of crops, such
            as ``'256x192'``. Defaults to that of the model
        work_dir (str | Path, optional): Folder of the run. Defaults to
            ``work_dirs/<name of the data>``, with a number if it exists
        logger (str, optional): ``'tensorboard'``, ``'wandb'`` or
            ``'mlflow'``, beside the log files
        early_stop (int): Validations without an improvement after which
            training ends, 0 for never. Defaults to 0
        ema (bool): Whether to evaluate and keep a moving average of the
            weights. Defaults to ``False``
        flip (bool | Dict[str, str], optional): Whether people may be
            mirrored, or which joints change places then. Defaults to what
            their names say
        sigmas (float | Sequence[float], optional): Tolerances of OKS, see
            :func:`make_dataset_info`
        seed (int, optional): Seed of split and training. Defaults to that of
            the model's config
        device (str, optional): The device to name in the decisions
        cfg_options (dict, optional): Further settings for the config, such
            as ``{'model.head.num_queries': 30}``
        amp (bool): Whether to train in mixed precision, see
            :func:`build_train_runner`. Defaults to ``False``

    Returns:
        TrainingPlan: The config, its folder and what was decided.

    Raises:
        FileExistsError: If ``work_dir`` is given and not empty.
        FileNotFoundError: If a file does not exist.
        ValueError: If the data or an option cannot be used.
    """
    if (data is None) == (config is None):
        raise ValueError('Give either data, a folder or file of your own, or config.')
    base = config or model
    cfg = load_config(find_config(base))
    if 'model' not in cfg:
        raise ValueError(f'"{base}" is not the config of a model: it has no "model".')
    find_device(device)
    if amp:
        with use_device(device):
            mixed = copy.deepcopy(cfg)
            use_amp(mixed)
        wrapper = {
            f'optim_wrapper.{k}': mixed.optim_wrapper[k]
            for k in ('type', 'loss_scale')
            if k in mixed.optim_wrapper
        }
        # a run that is resumed reads it in the config
        cfg_options = {**wrapper, **(cfg_options or {})}
    crop = None if size is None else parse_size(size)
    folder = new_run_folder(work_dir, Path(data or base))
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _plan(
            folder,
            data,
            base,
            cfg,
            init,
            epochs,
            batch,
            crop,
            flip,
            sigmas,
            device,
            dict(early_stop=early_stop, ema=ema, logger=logger, seed=seed, cfg_options=cfg_options),
        )
    except BaseException:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _plan(
    folder: Path,
    data: str | Path | None,
    base: str,
    cfg: Any,
    init: str | Path | None,
    epochs: int | None,
    batch: int | None,
    crop: tuple[int, int] | None,
    flip: bool | dict[str, str] | None,
    sigmas: float | Sequence[float] | None,
    device: str | None,
    options: dict,
) -> TrainingPlan:
    """See :func:`plan_training`."""
    path = folder / 'config.py'
    own = schedule = change = None
    if data is not None:
        own = prepare_data(data, folder, flip, sigmas, options['seed'] or 0)
        cascade = cfg.model.type == 'PRTRCascade'
        samples = own.train.num_images if cascade else own.train.num_people
        schedule = plan_schedule(cfg, samples, epochs, batch)
    elif flip is not None or sigmas is not None:
        raise ValueError('flip and sigmas need data: with config, set them in its metainfo.')
    elif epochs or batch:
        # others may be for the lists of the config that is written
        names = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'auto_scale_lr')
        given = options['cfg_options'] or {}
        given = {key: value for key, value in given.items() if key.partition('.')[0] in names}
        cfg = load_config(find_config(base), given)
        check_data_files(cfg, ('train',))
        epochs = epochs or cfg.train_cfg.max_epochs
        schedule = plan_schedule(
            cfg, _num_samples(cfg), epochs, batch or cfg.train_dataloader.batch_size
        )
    comment = (
        f'Written by `prtr train`. To train once more:\nmim train prtr_plugin {path}\n'
        'Its paths are absolute, so that it works from any folder of this machine.\n'
        'Change them where the data or this package lie elsewhere.'
    )
    write_config(path, base, own, crop, schedule, comment=comment, **options)
    if own:
        check_data_files(load_config(str(path)), ('train', 'val'))
    if init:
        if Path(init).is_dir():
            init = find_checkpoint(init)
        start = folder.resolve() / 'init.pth'
        change = write_initial_weights(init, str(path), start)
        if schedule and data is not None and not change.new:
            # a rate for random weights would make good ones worse
            schedule = schedule._replace(lr=float(f'{schedule.lr / 10:.2g}'))
        write_config(path, base, own, crop, schedule, str(start), comment=comment, **options)
    decisions = _describe(own, base, crop, cfg, change, init, schedule)
    decisions['output'] = (
        f'{folder}, on {(device or get_device()).upper()}, settings in {path.name}'
    )
    return TrainingPlan(path, folder, decisions, path.read_text(encoding='utf-8'))


def train(
    config: str | Path | TrainingPlan | None = None,
    data: str | Path | None = None,
    work_dir: str | Path | None = None,
    device: str | None = None,
    report: Callable[[Progress], None] | None = None,
    resume: bool | str = False,
    amp: bool = False,
    no_validate: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: dict | None = None,
    launcher: str = 'none',
    trust: bool = False,
    force: bool = False,
    **plan: Any,
) -> nn.Module:
    """Train a model.

    Args:
        config (str | Path | TrainingPlan, optional): Config file, the name of a
            model, or what :func:`plan_training` returned
        data (str | Path, optional): Own data instead, see
            :func:`plan_training`. With it or with a plan, ``report.html`` is
            written into the work folder
        work_dir (str | Path, optional): Folder for logs and checkpoints
        device (str, optional): Such as ``'cpu'`` or ``'cuda:1'``. Defaults to
            an accelerator if there is one, else the CPU
        report (Callable, optional): Function that is told the progress, see
            :class:`ProgressHook`
        resume (bool | str): See :func:`build_train_runner`, as for the
            following arguments
        amp (bool): See there
        no_validate (bool): See there
        auto_scale_lr (bool): See there
        cfg_options (dict, optional): See there
        launcher (str): See there
        trust (bool): See there
        force (bool): See there
        **plan: Further arguments of :func:`plan_training`

    Returns:
        nn.Module: The trained model. The checkpoints are in the work folder.

    Raises:
        CheckpointError: If a checkpoint cannot be read or does not fit, or
            cannot be saved; the earlier ones stay.
        ValueError: If an option does not fit the config, or an annotation
            file is damaged.
        FileNotFoundError: If a file does not exist.
        FileExistsError: If the work folder has checkpoints of another run.
        BlockingIOError: If another run is using the work folder.

    Example:
        >>> from prtr_plugin.apis import train
        >>> train(data='people5', epochs=100)
        >>> train('config.py', work_dir='work_dirs/mine',
        ...       cfg_options={'train_dataloader.batch_size': 8})
    """
    if isinstance(config, TrainingPlan):
        others = dict(data=data, work_dir=work_dir, **plan)
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise ValueError(
                f'A plan has been decided: {", ".join(given)} would have no effect. Give them to '
                'plan_training.'
            )
        planned: TrainingPlan | None = config
    elif data is not None or plan:
        plan.update(device=device, cfg_options=cfg_options, amp=amp)
        planned, cfg_options = (
            plan_training(data, str(config) if config else None, work_dir=work_dir, **plan),
            None,
        )
        for name, text in planned.decisions.items():
            print(f'{name}: {text}')
    else:
        planned = None
    if planned:
        config, work_dir = planned.config, planned.work_dir
    elif config is None:
        raise ValueError('Give data, a folder or file of your own, or config.')
    options = (resume, amp, no_validate, auto_scale_lr, cfg_options, launcher, trust, force)
    with use_device(device):
        try:
            runner = build_train_runner(str(config), str(work_dir) if work_dir else None, *options)
        except Exception:
            if planned and not resume:
                remove_unstarted(planned.work_dir, planned.text)
            raise
        if report:
            runner.register_hook(ProgressHook(report))
        try:
            model = runner.train()
        finally:
            unlock_folder(runner.work_dir)
        if planned:
            best: Any = load_run(planned.work_dir, device=device)
            summary = summarize_run(planned.work_dir)
            metrics = {f'best {summary.metric}': summary.best, 'in epoch': summary.epoch}
            metrics[f'last {summary.metric}'] = summary.last
            title = f'Training of {planned.work_dir.name}'
            page = planned.work_dir / 'report.html'
            write_report(best, page, title, metrics, planned.work_dir, planned.decisions)
    return model


def _num_samples(cfg: Any) -> int:
    from mmengine.registry import DefaultScope
    from mmpose.registry import DATASETS

    with DefaultScope.overwrite_default_scope('mmpose'):
        return len(DATASETS.build(cfg.train_dataloader.dataset))


def _describe(
    own: OwnData | None,
    base: str,
    size: tuple[int, int] | None,
    cfg: Any,
    change: JointChange | None,
    init: Any,
    schedule: Schedule | None,
) -> dict[str, str]:
    """The decisions in words."""
    result = {}
    if own:
        train, val = own.train, own.val
        notes = ''.join(f'; {note}' for note in own.notes)
        result['data'] = (
            f'{train.num_people} people in {train.num_images} pictures to train on, '
            f'{val.num_people} in {val.num_images} to validate{notes}'
        )
        info = own.dataset_info
        joints = [joint['name'] for joint in info['keypoint_info'].values()]
        pairs = {
            tuple(sorted((joint['name'], joint['swap'])))
            for joint in info['keypoint_info'].values()
            if joint['swap']
        }
        flips = (
            f'{len(pairs)} left/right pairs' if own.flip else 'never mirrored (no left/right pairs)'
        )
        sigmas = sorted({f'{sigma:g}' for sigma in info['sigmas']})
        listed = ', '.join(joints[:6]) + (', ...' if len(joints) > 6 else '')
        result['joints'] = (
            f'{len(joints)} ({listed}), {len(info["skeleton_info"])} links, {flips}, '
            f'sigmas {sigmas[0]}' + (f' to {sigmas[-1]}' if len(sigmas) > 1 else '')
        )
    width, height = size or cfg.get('codec', {}).get('input_size', (0, 0))
    crop = f', {height}x{width}' if min(width, height) > 1 else ''
    start = f'weights of {init}' if init else 'from scratch'
    if change:
        start += f' ({len(change.kept)} joints kept, {len(change.new)} new)'
    result['model'] = f'{base}{crop}, {start}'
    if schedule:
        result['schedule'] = (
            f'{schedule.epochs} epochs of {schedule.steps} steps, batches of '
            f'{schedule.batch_size}, learning rate {schedule.lr:g} after {schedule.warmup} steps, '
            f'validation every {schedule.val_interval} epochs'
        )
    return result
