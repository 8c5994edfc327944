"""What a head costs: parameters, multiply-adds and time on one core.

Times are CPU time of this process, so that other processes on the machine
disturb them little, and the heads take turns.
"""

import time
import warnings
from collections.abc import Callable
from itertools import cycle
from statistics import median
from typing import Any

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from runs import config_path
from torch import nn

from prtr_plugin.apis import load_model


def measure_costs(heads: list[str], options: dict, turns: int = 5) -> dict[str, dict[str, float]]:
    """Measure all heads.

    Args:
        heads (List[str]): Names of their configs
        options (dict): Settings of the configs to override
        turns (int): Training steps and batches of inference of each. The
            times are medians. Defaults to 5

    Returns:
        Dict[str, dict]: For each head ``parameters``, ``multiply_adds`` and
        ``head_multiply_adds`` of a crop, ``seconds_per_epoch`` of training
        with reading of the data, and ``seconds_per_crop`` of inference as in
        the evaluation, with flip test and read-out.
    """
    torch.set_num_threads(1)
    costs, tasks = {}, {}
    with DefaultScope.overwrite_default_scope('mmpose'):
        for head in heads:
            model = load_model(
                config_path(head), device='cpu', random_weights=True, cfg_options=options
            )
            costs[head] = count(model)
            loader = Runner.build_dataloader(model.cfg.train_dataloader, seed=0)
            tasks[head, 'seconds_per_epoch'] = training_step(model, loader), len(loader)
            task, num_crops = inference(model)
            tasks[head, 'seconds_per_crop'] = task, 1 / num_crops
        times: dict[tuple, list[float]] = {key: [] for key in tasks}
        for turn in range(turns + 1):
            for key, (task, _) in tasks.items():
                start = time.process_time()
                task()
                # the first one warms up
                if turn:
                    times[key].append(time.process_time() - start)
    for (head, name), values in times.items():
        costs[head][name] = median(values) * tasks[head, name][1]
    return costs


def count(model: nn.Module) -> dict[str, float]:
    """Parameters, and multiply-adds of a crop by mmengine's counter."""
    width, height = model.cfg.model.head.decoder.input_size
    forward, model.forward = model.forward, model._forward
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        flops = FlopAnalyzer(model, torch.zeros(1, 3, height, width))
        flops.unsupported_ops_warnings(False)
        flops.uncalled_modules_warnings(False)
        counted = flops.by_module()
    model.forward = forward
    return dict(
        parameters=sum(p.numel() for p in model.parameters()),
        multiply_adds=counted[''],
        head_multiply_adds=counted['head'],
    )


def training_step(model: nn.Module, loader: Any) -> Callable[[], Any]:
    """A step of training, which reads its batch."""
    optimizer = build_optim_wrapper(model, model.cfg.optim_wrapper)
    batches = cycle(iter(loader))
    return lambda: model.train().train_step(next(batches), optimizer)


def inference(model: nn.Module) -> tuple[Callable[[], Any], int]:
    """A batch of the evaluation, and its number of crops."""
    batch = next(iter(Runner.build_dataloader(model.cfg.val_dataloader, seed=0)))
    return lambda: model.eval().val_step(batch), len(batch['inputs'])
