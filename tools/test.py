"""Test a model: run it over the test data and evaluate.

Example:
    python tools/test.py CONFIG CHECKPOINT --out metrics.json
"""
import argparse
import os
import sys
from pathlib import Path
from typing import List

import mmengine
import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Test a pose model')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help='folder for logs; by default the one in the config or '
        "work_dirs/<the config's name>")
    parser.add_argument(
        '--out', help='write the metrics to this .json, .yml or .pkl file')
    parser.add_argument(
        '--dump', help='write the predictions to this .pkl file')
    parser.add_argument(
        '--show-dir', help='draw the predictions into this folder')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config: a.b=1, a=1,2 or a="[1,2]" '
        'without white space')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed job')
    # torch.distributed.launch passes one of these (by version of torch).
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0,
        help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump writes a .pkl or .pickle file, not {args.dump}')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the command line to it.

    Raises:
        ValueError: If an option does not fit the config.
    """
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    cfg.load_from = args.checkpoint

    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)

    if args.show_dir:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise ValueError(
                '--show-dir needs default_hooks.visualization in the config, '
                f"which {args.config} lacks: inherit mmpose's "
                'default_runtime.py or add the PoseVisualizationHook.')
        cfg.default_hooks.visualization.enable = True
        cfg.default_hooks.visualization.out_dir = args.show_dir

    if args.dump:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [
            *evaluators,
            dict(type='DumpResults', out_file_path=args.dump)
        ]
    return cfg


class CheckpointError(ValueError):
    """A checkpoint does not fit the model."""


class StrictLoadHook(Hook):
    """Refuses a checkpoint that does not fill the model exactly.

    mmengine loads what fits and logs the rest, so that a checkpoint of
    another variant would give a wrong score instead of an error.
    """

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the loaded checkpoint with the model of the runner."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        try:
            check_state_dict(model, checkpoint.get('state_dict', checkpoint))
        except CheckpointError as error:
            raise CheckpointError(
                f'The checkpoint {runner.cfg.load_from} does not fit the '
                f'model of the config. {error}. Use the config that the '
                'checkpoint was trained with.') from None


def check_state_dict(model: torch.nn.Module, state_dict: dict) -> None:
    """Check that the tensors of a checkpoint are exactly a model's.

    Args:
        model (nn.Module): The model that is tested.
        state_dict (dict): Tensors by name, with or without the ``module.``
            of a model that was wrapped for distributed training.

    Raises:
        CheckpointError: If a key is missing or unexpected, or a tensor has
            another shape than the model's. The message names them.
    """
    state_dict = {
        key[len('module.'):] if key.startswith('module.') else key: value
        for key, value in state_dict.items()
    }
    expected = model.state_dict()
    missing = [
        key for key in expected if key not in state_dict
        # a counter of training steps, of no effect in testing
        and not key.endswith('num_batches_tracked')
    ]
    unexpected = [key for key in state_dict if key not in expected]
    shapes = [
        f'{key} {tuple(state_dict[key].shape)} instead of '
        f'{tuple(value.shape)}' for key, value in expected.items()
        if key in state_dict and state_dict[key].shape != value.shape
    ]
    problems = [
        f'{len(names)} {what}: {_shorten(names)}'
        for names, what in ((missing, 'missing'), (unexpected, 'unexpected'),
                            (shapes, 'of another shape')) if names
    ]
    if problems:
        raise CheckpointError(f'Keys {"; ".join(problems)}')


def _shorten(names: List[str], limit: int = 4) -> str:
    shown = ', '.join(names[:limit])
    return shown + (', ...' if len(names) > limit else '')


def main() -> None:
    """Run the script."""
    args = parse_args()
    cfg = load_config(args)
    # After the command line, so that --help needs no plugin.
    from prtr_plugin._compat import setup_cpu_distributed
    setup_cpu_distributed(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StrictLoadHook())
    try:
        metrics = runner.test()
    except CheckpointError as error:
        sys.exit(f'Error: {error}')
    if args.out and runner.rank == 0:
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main()
