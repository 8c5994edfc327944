"""Measure time and memory of a PRTRCascade by the number of people kept.

Example:
    python tools/analysis_tools/measure_cascade.py --num-persons 1 5 20 100 \
        --image-size 640 480 --repeats 5 --out cascade.json

The published scheme sends every person query through the keypoint
transformer; that is the row with as many people as there are queries, which
is always measured. The model has random weights, on which neither figure
depends, and keeps exactly the given number of people of one image, whatever
their score.

Time is that of ``predict``, read-out included, of one image. All variants
take turns in every repeat, so that a change of the machine's load meets all
of them; the first turn of each does not count.

Memory is, on CUDA, ``torch.cuda.max_memory_allocated`` (weights included).
On the CPU it is what a fresh process of each variant adds to its resident set
while it predicts: the high-water mark (VmHWM, Linux only) less the size
before.

Difference is the largest one between the outputs of the people kept and of
the same people among all queries: boxes (relative to the image), class logits
and coordinates (relative to the image) of all keypoint queries. For comparison
the last line tells how far apart those of different people are.
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from memory_utils import added_memory, cuda_memory, memory_in_new_process
from mmengine.config import DictAction
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401
from prtr_plugin.apis import load_config

CONFIG = (
    Path(__file__).resolve().parents[2]
    / 'configs/body_2d_keypoint'
    / 'prtr_cascade/coco/prtr-cascade_res50_8xb2-50e_coco-800x1333.py'
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Measure time and memory of a PRTRCascade by the number of people kept'
    )
    parser.add_argument(
        'config', nargs='?', default=str(CONFIG), help='config file (default: ResNet-50 for COCO)'
    )
    parser.add_argument(
        '--num-persons', type=int, nargs='+', default=[1, 5, 20, 100], help='(default: 1 5 20 100)'
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        metavar=('W', 'H'),
        default=[640, 480],
        help='of the network input (default: 640 480)',
    )
    parser.add_argument('--repeats', type=int, default=5, help='(default: 5)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--out', help='JSON file to write')
    parser.add_argument(
        '--no-memory',
        action='store_true',
        help='skip the memory on the CPU, for which a process of each variant is started',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    # what the processes for the memory are told: print that of this variant
    parser.add_argument('--memory-of', type=int, metavar='N', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if min(args.num_persons + args.image_size + [args.repeats]) < 1:
        parser.error('--num-persons, --image-size and --repeats must be at least 1')
    return args


class Case:
    """A cascade with random weights and an image.

    Args:
        args (argparse.Namespace): See :func:`parse_args`.

    Raises:
        ValueError: If the model of the config is no PRTRCascade.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        cfg = load_config(args.config, args.cfg_options)
        if cfg.model.type != 'PRTRCascade':
            raise ValueError(f'The model of {args.config} is {cfg.model.type}: give a PRTRCascade.')
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmpose'):
            self.model = MODELS.build(cfg.model)
        # people that differ: without training their boxes hardly would
        detector = self.model.detector
        torch.nn.init.normal_(detector.bbox_head.fc_reg.weight, std=0.5)
        torch.nn.init.normal_(detector.query_embedding.weight, std=3)
        self.model.to(args.device).eval()
        # any score will do
        self.model.test_cfg.update(score_thr=-1.0)
        self.num_queries = self.model.detector.num_queries
        self.device = torch.device(args.device)
        width, height = args.image_size
        # and blocks, as noise alone looks the same everywhere
        blocks = torch.randn(1, 3, -(-height // 32), -(-width // 32))
        self.image = torch.nn.functional.interpolate(blocks, (height, width)).to(self.device)

    def _samples(self) -> list[PoseDataSample]:
        shape = tuple(self.image.shape[-2:])
        return [PoseDataSample(metainfo=dict(img_shape=shape, ori_shape=shape))]

    @torch.no_grad()
    def predict(self, num_persons: int) -> float:
        """Predict that many people and return the time in seconds.

        Raises:
            RuntimeError: If their number is another one.
        """
        self.model.test_cfg.update(max_persons=num_persons)
        samples = self._samples()
        self._synchronize()
        start = time.perf_counter()
        (sample,) = self.model.predict(self.image, samples)
        self._synchronize()
        seconds = time.perf_counter() - start
        found = len(sample.pred_instances.bboxes)
        if found != num_persons:
            raise RuntimeError(f'{found} people instead of {num_persons}')
        return seconds

    @torch.no_grad()
    def outputs(self, num_persons: int) -> dict[str, torch.Tensor]:
        """Outputs before the read-out, in which noise could swap queries
        that untrained weights hardly tell apart."""
        self.model.test_cfg.update(max_persons=num_persons)
        _, boxes, logits, coords = self.model._forward(self.image, self._samples())
        return dict(boxes=boxes, logits=logits, coords=coords)

    def _synchronize(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)


def measure(case: Case, args: argparse.Namespace) -> dict:
    """Measure all variants; see the top of this file.

    Returns:
        dict: ``rows`` with a dict for each number of people, the last one for
        all queries, with times in seconds and memory in bytes, and
        ``people_differ``, the largest difference to the first person.
    """
    total = case.num_queries
    too_many = [n for n in args.num_persons if n > total]
    if too_many:
        raise ValueError(f'--num-persons has {too_many}, but the detector has {total} queries.')
    nums = sorted({*args.num_persons, total})
    times = {num: [] for num in nums}
    for num in nums:
        case.predict(num)
    for _ in range(args.repeats):
        for num in nums:
            times[num].append(case.predict(num))

    everybody = case.outputs(total)
    slowest = statistics.median(times[total])
    rows = []
    for num in nums:
        median = statistics.median(times[num])
        memory = None
        if case.device.type == 'cuda':
            memory = cuda_memory(partial(case.predict, num), case.device)
        elif not args.no_memory:
            memory = memory_in_new_process('--memory-of', str(num))
        rows.append(
            dict(
                num_persons=num,
                seconds=median,
                seconds_min=min(times[num]),
                seconds_max=max(times[num]),
                speedup=slowest / median,
                memory=memory,
                difference={
                    key: (value - everybody[key][:, :num]).abs().max().item()
                    for key, value in case.outputs(num).items()
                },
            )
        )
    return dict(
        rows=rows,
        people_differ={
            key: (value - value[:, :1]).abs().max().item() for key, value in everybody.items()
        },
    )


def as_table(rows: list[dict], people_differ: dict[str, float]) -> str:
    """A text table of what :func:`measure` returns."""
    lines = [
        f'{"people":>8}{"median ms":>11}{"min":>8}{"max":>8}{"speed-up":>10}'
        f'{"memory MiB":>12}   max. difference of boxes, logits, coordinates'
    ]
    for row in rows:
        ms = [f'{1000 * row[key]:.0f}' for key in ('seconds', 'seconds_min', 'seconds_max')]
        memory = '-' if row['memory'] is None else f'{row["memory"] / 2**20:.0f}'
        lines.append(
            f'{row["num_persons"]:>8}{ms[0]:>11}{ms[1]:>8}{ms[2]:>8}'
            f'{row["speedup"]:>9.1f}x{memory:>12}   '
            + ', '.join(f'{d:.1e}' for d in row['difference'].values())
        )
    lines[-1] += '   (all queries, the published scheme)'
    lines.append(
        'Different people differ by up to '
        + ', '.join(f'{d:.1e}' for d in people_differ.values())
        + '.'
    )
    return '\n'.join(lines)


def main() -> None:
    """Run the script."""
    args = parse_args()
    case = Case(args)
    if args.memory_of:
        work = partial(case.predict, args.memory_of)
        print(json.dumps(added_memory(work)))
        return
    measured = measure(case, args)
    device = 'CPU'
    memory = 'added to the resident set'
    if case.device.type == 'cuda':
        device = torch.cuda.get_device_name(case.device)
        memory = 'max_memory_allocated'
    result = dict(
        config=args.config,
        device=device,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        image_size=args.image_size,
        repeats=args.repeats,
        memory=memory,
        **measured,
    )
    width, height = args.image_size
    print(
        f'{Path(args.config).name}, {width}x{height}, {device}, '
        f'{result["threads"]} threads, torch {result["torch"]}, '
        f'{args.repeats} repeats; memory: {memory}'
    )
    print(as_table(**measured))
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps(result, indent=2) + '\n')
        print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
