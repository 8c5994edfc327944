"""Draw what the keypoint queries specialise in, over the whole test set.

Writes to a folder: density.png, where the most used queries land in the crop;
answers.png, which joints each query is assigned to, and how certain it is;
statistics.json, the same in numbers. All results are for the last decoder
layer, without flip test.

Example:
    python tools/visualizations/query_statistics.py CONFIG CHECKPOINT \
        work_dirs/queries
"""

import argparse
import sys
from pathlib import Path

import mmengine
from mmengine.config import DictAction
from tqdm import tqdm

from prtr_plugin.apis import load_model
from prtr_plugin.apis.inputs import build_test_dataloader
from prtr_plugin.fileio import check_output_folder, write_file
from prtr_plugin.visualization import count_queries, draw_answers, draw_density, save_figure


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--num-shown', type=int, default=21, help='number of queries in density.png (default: 21)'
    )
    parser.add_argument('--force', action='store_true', help='write into OUT if it is not empty')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoint, which can run arbitrary code',
    )
    parser.add_argument('--device', help='(default: an accelerator if there is one, else cpu)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.num_shown < 1:
        parser.error('--num-shown must be at least 1')
    return args


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        check_output_folder(args.out, args.force)
        model = load_model(
            args.config,
            args.checkpoint,
            args.device,
            cfg_options=args.cfg_options,
            trust=args.trust,
        )
        data_loader = tqdm(build_test_dataloader(model), desc='test set', leave=False)
        statistics = count_queries(model, data_loader)
        meta = model.dataset_meta
        width, height = model.head.decoder.input_size
        density = draw_density(statistics, meta, width / height, args.num_shown)
        save_figure(density, args.out / 'density.png')
        save_figure(draw_answers(statistics, meta), args.out / 'answers.png')
        numbers = statistics.to_dict(meta)
        with write_file(args.out / 'statistics.json') as file:
            mmengine.dump(numbers, file, indent=2)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print('{num_people} people, {num_used} of {num_queries} queries ever answer'.format(**numbers))
    print(f'Wrote density.png, answers.png and statistics.json in {args.out}')


if __name__ == '__main__':
    main()
