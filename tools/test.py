"""Test a model: run it over the test data and evaluate.

Example:
    python tools/test.py CONFIG CHECKPOINT --out metrics.json
"""

import argparse
import os
import sys
from pathlib import Path

import mmengine
from mmengine.config import Config, DictAction


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Test a pose model')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help="folder for logs; by default the one in the config or work_dirs/<the config's name>",
    )
    parser.add_argument('--out', help='write the metrics to this .json, .yml or .pkl file')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    parser.add_argument('--show-dir', help='draw the predictions into this folder')
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
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump writes a .pkl or .pickle file, not {args.dump}')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def build_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the command line to it.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ValueError: If an option does not fit the config.
    """
    from prtr_plugin.apis import load_config

    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.load_from = args.checkpoint
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'The checkpoint {args.checkpoint} does not exist.')

    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)

    if args.show_dir:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise ValueError(
                '--show-dir needs default_hooks.visualization in the config, '
                f"which {args.config} lacks: inherit mmpose's "
                'default_runtime.py or add the PoseVisualizationHook.'
            )
        cfg.default_hooks.visualization.enable = True
        cfg.default_hooks.visualization.out_dir = args.show_dir

    if args.dump:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
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
            check_data_files(cfg, ('test',))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'Error: {error}')
    setup_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StrictLoadHook())
    try:
        metrics = runner.test()
    except CheckpointError as error:
        sys.exit(f'Error: {args.checkpoint}: {error}')
    if args.out and runner.rank == 0:
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
