import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmpose.models.pose_estimators.base import BasePoseEstimator

from ..fileio import write_file
from .checks import compare, time_run
from .formats import FORMATS, on_arrays
from .raw_model import RawModel
from .switches import check_model, switch_to_deploy


class BatchCheck(NamedTuple):
    """Result of :func:`export` for one batch size.

    Attributes:
        batch_size (int): Number of images
        differences (Dict[str, float]): The largest difference of each output,
            relative to its largest value if that is above 1
        torch_seconds (float): Mean time of a run in PyTorch, NaN if not timed
        exported_seconds (float): The same for the exported model.
    """

    batch_size: int
    differences: dict[str, float]
    torch_seconds: float
    exported_seconds: float


@torch.no_grad()
def export(
    model: BasePoseEstimator,
    out: str | Path,
    opset: int = 17,
    batch_sizes: Sequence[int] = (1, 3, 8),
    tolerance: float = 1e-4,
    repeats: int = 5,
) -> list[BatchCheck]:
    """Export a two-stage model or a cascade to a file that runs without mmpose.

    The graph takes images as OpenCV reads them (BGR, uint8) and returns raw
    logits and coordinates, see README.md in ``tools/deployment``. The file
    appears only after its outputs have been compared with the model's.

    Args:
        model (:obj:`BasePoseEstimator`): Model from :func:`load_model`. It is
            not changed. Files in PyTorch's formats are for its device
        out (str | Path): File to write. Its ending chooses the format:
            ``.onnx``, ``.pt`` (TorchScript) or ``.pt2`` (``torch.export``)
        opset (int): Version of the ONNX operators, at least 16. Defaults to
            17
        batch_sizes (Sequence[int]): Batch sizes to compare and to time, with
            random images. Defaults to (1, 3, 8)
        tolerance (float): Largest allowed difference of an output, relative
            to its largest value if that is above 1. Defaults to 1e-4
        repeats (int): Number of runs to time, 0 for no timing. Defaults to 5

    Returns:
        List[BatchCheck]: Differences and times for each batch size.

    Raises:
        ImportError: If a package that the format needs is missing or too old.
        TypeError: If ``model`` is not a model.
        ValueError: If an argument is out of range, the model cannot be
            exported or the outputs differ.

    Example:
        >>> from prtr_plugin.apis import export, load_model
        >>> export(load_model(config, checkpoint), 'model.onnx')
    """
    check_model(model)
    out = Path(out)
    if out.suffix not in FORMATS:
        raise ValueError(f'out must end with one of {", ".join(FORMATS)}, but is "{out}".')
    if opset < 16:
        raise ValueError(f'opset must be at least 16, for GridSample, but is {opset}.')
    if not batch_sizes or min(batch_sizes) < 1:
        raise ValueError(f'batch_sizes must be positive numbers, but is {list(batch_sizes)}.')
    if repeats < 0:
        raise ValueError(f'repeats must not be negative, but is {repeats}.')

    original = RawModel(copy.deepcopy(model).eval())
    deployed = RawModel(switch_to_deploy(copy.deepcopy(model)))
    device = original.device
    write, load = FORMATS[out.suffix]
    checks = []
    with write_file(out) as file:
        write(deployed, file, opset)
        exported = load(file, device)
        for batch_size in batch_sizes:
            images = original.example(batch_size).cpu().numpy()
            differences = compare(
                on_arrays(original, device), exported, images, original.output_names
            )
            # NaN is not allowed either
            if not all(value <= tolerance for value in differences.values()):
                raise ValueError(
                    f'In a batch of {batch_size} the outputs differ by {differences}, which is '
                    f'more than tolerance={tolerance:g}. Nothing was written. A GPU rounds '
                    'more: load the model on the CPU, or set a larger tolerance.'
                )
            times = [
                time_run(run, images, repeats) if repeats else float('nan')
                for run in (on_arrays(deployed, device), exported)
            ]
            checks.append(BatchCheck(batch_size, differences, *times))
    return checks
