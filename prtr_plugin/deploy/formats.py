"""The file formats of :func:`export`: how each is written and loaded."""

import inspect
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .raw_model import RawModel

# maps images to outputs, both as arrays
Run = Callable[[np.ndarray], list[np.ndarray]]
Write = Callable[[RawModel, Path, int], None]
Load = Callable[[Path, torch.device], Run]
# name of the extra file in PyTorch's formats
EXTRA = 'metadata.json'


def on_arrays(model: Callable, device: torch.device) -> Run:
    """Make a PyTorch model take and return arrays."""

    def run(images: np.ndarray) -> list[np.ndarray]:
        return [output.cpu().numpy() for output in model(torch.from_numpy(images).to(device))]

    return run


def write_onnx(model: RawModel, path: Path, opset: int) -> None:
    """Write an ONNX file with the metadata as properties.

    Args:
        model (RawModel): The model
        path (Path): File to write
        opset (int): Version of the operators

    Raises:
        ImportError: If onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'Writing and checking ONNX files needs two packages: install them with '
            '`pip install onnx onnxruntime`.'
        ) from error
    options: dict[str, Any] = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        # the other exporter needs onnxscript and fixes the image size
        options['dynamo'] = False
    axes = {name: {0: 'batch'} for name in model.output_names}
    axes['images'] = {0: 'batch', 2: 'height', 3: 'width'}
    with warnings.catch_warnings():
        # warnings that a traced value may be a constant: the comparison checks it
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (model.example(),),
            str(path),
            opset_version=opset,
            input_names=['images'],
            output_names=model.output_names,
            dynamic_axes=axes,
            **options,
        )
    proto = onnx.load(str(path))
    # a property is text
    properties = {key: json.dumps(value) for key, value in model.metadata.items()}
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))


def load_onnx(path: Path, device: torch.device) -> Run:
    """Load an ONNX file into onnxruntime, with as many threads as PyTorch.

    Raises:
        ImportError: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'Checking ONNX files needs the package onnxruntime: install it with '
            '`pip install onnxruntime`.'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ['CPUExecutionProvider']
    if device.type == 'cuda':
        providers.insert(0, 'CUDAExecutionProvider')
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    return lambda images: session.run(None, {'images': images})


def write_torchscript(model: RawModel, path: Path, opset: int) -> None:
    """Write a TorchScript file with the metadata inside."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        traced = torch.jit.trace(model, model.example(), check_trace=False)
    torch.jit.save(traced, str(path), {EXTRA: json.dumps(model.metadata)})


def load_torchscript(path: Path, device: torch.device) -> Run:
    """Load a TorchScript file."""
    return on_arrays(torch.jit.load(str(path), device), device)


def write_torch_export(model: RawModel, path: Path, opset: int) -> None:
    """Write a file of ``torch.export`` with the metadata inside.

    Raises:
        ImportError: If PyTorch is too old.
    """
    if not hasattr(torch.export, 'Dim'):
        raise ImportError(f'.pt2 files need torch >= 2.2, but this is torch {torch.__version__}.')
    batch = torch.export.Dim('batch', min=1, max=4096)
    program = torch.export.export(model, (model.example(),), dynamic_shapes=({0: batch},))
    torch.export.save(program, str(path), extra_files={EXTRA: json.dumps(model.metadata)})


def load_torch_export(path: Path, device: torch.device) -> Run:
    """Load a file of ``torch.export``."""
    return on_arrays(torch.export.load(str(path)).module(), device)


# how to write and how to load, by the ending of the file
FORMATS: dict[str, tuple[Write, Load]] = {
    '.onnx': (write_onnx, load_onnx),
    '.pt': (write_torchscript, load_torchscript),
    '.pt2': (write_torch_export, load_torch_export),
}
