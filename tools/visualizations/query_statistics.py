"""Draw what the keypoint queries specialise in, over the whole test set.

Writes into a folder: density.png, where the most used queries land in the
crop; answers.png, which joints each query answers to, and how sure it is;
statistics.json, the same in numbers. All of this is of the last decoder
level, without flip test.

Example:
    python tools/visualizations/query_statistics.py CONFIG CHECKPOINT \
        work_dirs/queries
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm
from visualization_utils import load_model, make_parser, save_figure, test_loader

from prtr_plugin.visualization import QueryStatistics, count_queries, draw_answers, draw_density


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--num-shown', type=int, default=21, help='number of queries in density.png (default: 21)'
    )
    args = parser.parse_args()
    if args.num_shown < 1:
        parser.error('--num-shown must be at least 1')
    return args


def main() -> None:
    """Run the script."""
    args = parse_args()
    model = load_model(args)
    head, meta = model.head, model.dataset_meta
    statistics = QueryStatistics(head.num_queries, head.out_channels)
    for batch in tqdm(test_loader(model), desc='test set', leave=False):
        count_queries(model, batch, statistics)

    width, height = head.decoder.input_size
    save_figure(
        draw_density(statistics, meta, width / height, args.num_shown), args.out / 'density.png'
    )
    save_figure(draw_answers(statistics, meta), args.out / 'answers.png')
    numbers = statistics.to_dict(meta)
    (args.out / 'statistics.json').write_text(json.dumps(numbers, indent=2) + '\n')

    print(
        f'{numbers["num_people"]} people, {numbers["num_used"]} of '
        f'{numbers["num_queries"]} queries ever answer'
    )
    print('query   uses  joint entropy  class entropy  main joint')
    for q in numbers['queries']:
        if q['uses']:
            joint, count = next(iter(q['answers'].items()))
            print(
                f'{q["query"]:5d} {q["uses"]:6d} {q["joint_entropy"]:14.3f} '
                f'{q["class_entropy"]:14.3f}  {joint} '
                f'{count / q["uses"]:.0%}'
            )
    print(f'Wrote density.png, answers.png and statistics.json in {args.out}')


if __name__ == '__main__':
    main()
