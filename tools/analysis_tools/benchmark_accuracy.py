"""What faster ways to compute do to the results, for ``benchmark.py``."""

import numpy as np
import torch
from benchmark_cases import Variant, input_size
from benchmark_tasks import Inference, Training
from mmengine.runner import set_random_seed


def differences(
    variants: list[Variant], cases: dict[str, Inference], dtypes: dict[str, torch.dtype]
) -> list[dict]:
    """How far the coordinates of all queries are from those of the first
    mode in the first type.

    Args:
        variants (List[Variant]): Models, of which those with a
            :class:`PRTRHead` on crops are compared
        cases (dict): What runs them, by label
        dtypes (dict): Types of autocast by name

    Returns:
        list[dict]: Rows with ``pixels``, the largest difference, and
        ``spread``, the standard deviation over the queries, in input pixels.
    """
    rows = []
    variants = [v for v in variants if v.top_down_prtr]
    for name in dict.fromkeys(v.name for v in variants):
        outputs = {}
        for variant in variants:
            if variant.name == name:
                size = torch.tensor(input_size(variant.cfg))
                for type_name, dtype in dtypes.items():
                    _, coords = cases[variant.label].outputs(dtype)
                    outputs[f'{variant.mode} {type_name}'] = coords.float().cpu() * size
        (first, expected), *others = outputs.items()
        for other, coords in others:
            rows.append(
                dict(
                    name=name,
                    between=f'{first} and {other}',
                    pixels=(coords - expected).abs().max().item(),
                    spread=expected.std(dim=1).mean().item(),
                )
            )
    return rows


def measure_losses(
    variant: Variant,
    dtypes: dict[str, torch.dtype],
    steps: int,
    batch_size: int,
    device: torch.device,
) -> list[dict]:
    """Train from the same weights on the same batches in several types.

    Args:
        variant (Variant): The model
        dtypes (dict): Types of autocast by name, the one to compare with
            first
        steps (int): Number of training steps
        batch_size (int): Batch size
        device (torch.device): Device

    Returns:
        list[dict]: Row for each type with ``dtype``, ``losses`` of all steps,
        and ``mean`` and ``max``, how far they are from those of the first
        type, relative to these.
    """
    rows = []
    for name, dtype in dtypes.items():
        case = Training(variant, batch_size, device)
        losses = []
        for step in range(steps):
            set_random_seed(step)  # of the augmentation
            case(dtype)
            losses.append(case.loss)
        losses = torch.stack(losses).tolist()
        expected = np.array(rows[0]['losses'] if rows else losses)
        difference = np.abs(losses - expected) / np.abs(expected)
        rows.append(dict(dtype=name, losses=losses, mean=difference.mean(), max=difference.max()))
    return rows
