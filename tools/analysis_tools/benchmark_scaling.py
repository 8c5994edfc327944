"""How the time grows, for ``benchmark.py --scaling``."""

import copy
from dataclasses import replace

import torch
from benchmark_cases import Variant, input_size
from benchmark_tasks import MatchingLoss, ReadOut, Stopwatch, Times, autocast, interleave, summarize

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
# (levels, crops)
MATCHING = ((1, 8), (1, 32), (3, 32), (6, 8), (6, 16), (6, 32), (6, 64))
# (joints, queries)
READ_OUT = ((17, 100), (17, 300), (133, 300))
READ_OUT_CROPS = 64


class Forward:
    """The network on random inputs.

    Args:
        variant (Variant): A top-down model
        device (torch.device): Device
    """

    def __init__(self, variant: Variant, device: torch.device) -> None:
        self.model = variant.build(training=False).to(device)
        width, height = input_size(variant.cfg)
        self.inputs = torch.randn(max(BATCH_SIZES), 3, height, width, device=device)
        self.stopwatch = Stopwatch(device)

    @torch.no_grad()
    def __call__(self, batch_size: int, dtype: torch.dtype) -> Times:
        """Run a batch and return its seconds."""
        with self.stopwatch.section('forward'), autocast(self.stopwatch.device, dtype):
            self.model(self.inputs[:batch_size], None, mode='tensor')
        return self.stopwatch.pop()


def measure_scaling(
    variant: Variant, dtype: torch.dtype, device: torch.device, repeats: int, conflicts: float
) -> dict[str, list[dict]]:
    """Time by the size of the problem.

    Args:
        variant (Variant): A top-down model with a :class:`PRTRHead`
        dtype (torch.dtype): Of the network's autocast
        device (torch.device): Device
        repeats (int): Number of turns
        conflicts (float): See :func:`trained_outputs`.

    Returns:
        dict: ``batch`` (the network by the batch size), ``matching`` (by
        levels and crops) and ``read_out`` (by joints and queries), each a
        list of rows with ``seconds`` in total and ``per_crop``.
    """
    forward = Forward(variant, device)
    rows = dict(
        batch=_measure(
            {(size,): (lambda size=size: forward(size, dtype)) for size in BATCH_SIZES},
            ('batch_size',),
            repeats,
            'forward',
        )
    )
    del forward
    rows['matching'] = _measure(
        {
            (levels, crops): MatchingLoss(variant, crops, device, conflicts, levels)
            for levels, crops in MATCHING
        },
        ('levels', 'crops'),
        repeats,
        'matching',
    )
    rows['read_out'] = _measure(
        {
            (joints, queries, plain): ReadOut(
                with_size(variant, joints, queries, plain), READ_OUT_CROPS, device, conflicts
            )
            for joints, queries in READ_OUT
            for plain in (False, True)
        },
        ('joints', 'queries', 'plain'),
        repeats,
        'read_out',
    )
    for row in rows['batch']:
        row['per_crop'] = row['seconds']['median'] / row['batch_size']
    for row in rows['matching']:
        row['per_crop'] = row['seconds']['median'] / row['crops']
    for row in rows['read_out']:
        row['per_crop'] = row['seconds']['median'] / READ_OUT_CROPS
    return rows


def _measure(calls: dict, keys: tuple, repeats: int, part: str) -> list[dict]:
    return [
        dict(zip(keys, key), seconds=summarize(times[part]))
        for key, times in interleave(calls, repeats).items()
    ]


def with_size(variant: Variant, num_joints: int, num_queries: int, plain: bool) -> Variant:
    """The variant with other numbers of joints and queries."""
    cfg = copy.deepcopy(variant.cfg)
    head = cfg.model.head
    head.out_channels = num_joints
    head.num_queries = num_queries
    head.decoder.num_keypoints = num_joints
    return replace(variant, cfg=cfg, mode='plain' if plain else 'config')
