"""Train a model.

Example:
    python tools/train.py CONFIG --work-dir work_dirs/mine \
        --cfg-options train_dataloader.batch_size=8
"""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a pose model')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints; by default the one in the '
        "config or work_dirs/<the config's name>",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the latest one of the work '
        'folder if none is given',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision: float16 on a GPU, bfloat16 on the CPU',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size over the '
        "config's auto_scale_lr.base_batch_size",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config: a.b=1, a=1,2 or a="[1,2]" without white space',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed job',
    )
    # torch.distributed.launch passes one of these (by version of torch).
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def build_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the command line to it.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ValueError: If an option does not fit the config.
    """
    from mmengine.device import get_device

    from prtr_plugin.apis import load_config

    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher

    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)

    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    checkpoint = cfg.get('load_from')
    if checkpoint and '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'The checkpoint {checkpoint} does not exist. Give another one by '
            '--resume or load_from; what makes that of a config is in the '
            'README beside it.'
        )

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None

    if args.amp:
        # float16, which is fast on GPUs only, needs its losses scaled
        amp = 'BFloat16OptimWrapper' if get_device() == 'cpu' else 'AmpOptimWrapper'
        wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if wrapper not in ('OptimWrapper', amp):
            raise ValueError(
                f'--amp replaces optim_wrapper.type="OptimWrapper" by "{amp}" '
                f'on this machine, but the config has "{wrapper}": remove one '
                'of the two.'
            )
        cfg.optim_wrapper.type = amp
        if amp == 'AmpOptimWrapper':
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')

    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...)'
                f' in the config, which {args.config} lacks: add the total '
                'batch size that its learning rate was chosen for.'
            )
        cfg.auto_scale_lr.enable = True
    return cfg


def main() -> None:
    """Run the script."""
    args = parse_args()
    # After the command line, so that --help is quick.
    from mmengine.runner import Runner

    from prtr_plugin.datasets import check_data_files
    from prtr_plugin.engine import setup_cpu_distributed
    from prtr_plugin.engine.hooks import CheckpointError, StrictLoadHook

    try:
        cfg = build_config(args)
        if os.environ.get('RANK', '0') == '0':
            check_data_files(cfg, ('train', 'val'))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'Error: {error}')
    setup_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    if cfg.get('resume'):
        runner.register_hook(StrictLoadHook())
    try:
        runner.train()
    except CheckpointError as error:
        sys.exit(f'Error: {error}')


if __name__ == '__main__':
    main()
