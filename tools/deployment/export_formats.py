"""The file formats that ``export_onnx.py`` writes."""

import inspect
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from export_utils import RawModel

# from images to outputs, both as arrays
Run = Callable[[np.ndarray], list[np.ndarray]]
# of the extra file in the formats of PyTorch
EXTRA = 'metadata.json'


class MissingPackage(Exception):
    """A package that a format needs is not installed."""


def write_onnx(model: RawModel, metadata: dict, path: Path, opset: int) -> None:
    """Write an ONNX file with the metadata as properties.

    Args:
        model (RawModel): The model
        metadata (dict): See :func:`export_utils.describe`
        path (Path): File
        opset (int): Version of the operators

    Raises:
        MissingPackage: If onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackage(
            'Writing ONNX files needs the package onnx: install it with `pip install onnx`.'
        ) from error
    options = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        # the other exporter needs onnxscript and fixes the image size
        options['dynamo'] = False
    names = model.output_names
    axes = {name: {0: 'batch'} for name in names}
    axes['images'] = {0: 'batch', 2: 'height', 3: 'width'}
    with warnings.catch_warnings():
        # that a traced value may be a constant: the check will tell
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (model.example(metadata),),
            str(path),
            opset_version=opset,
            input_names=['images'],
            output_names=names,
            dynamic_axes=axes,
            **options,
        )
    proto = onnx.load(str(path))
    # a property is text
    properties = {key: json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))


def load_onnx(path: Path, device: str) -> Run:
    """Load an ONNX file into onnxruntime, with as many threads as PyTorch.

    Raises:
        MissingPackage: If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage(
            'Checking ONNX files needs the package onnxruntime: install it '
            'with `pip install onnxruntime`.'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ['CPUExecutionProvider']
    if device != 'cpu':
        providers.insert(0, 'CUDAExecutionProvider')
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    return lambda images: session.run(None, {'images': images})


def write_torchscript(model: RawModel, metadata: dict, path: Path, opset: int) -> None:
    """Write a TorchScript file with the metadata inside."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        traced = torch.jit.trace(model, model.example(metadata), check_trace=False)
    torch.jit.save(traced, str(path), {EXTRA: json.dumps(metadata)})


def load_torchscript(path: Path, device: str) -> Run:
    """Load a TorchScript file."""
    return _on_arrays(torch.jit.load(str(path), device), device)


def write_torch_export(model: RawModel, metadata: dict, path: Path, opset: int) -> None:
    """Write a file of ``torch.export`` with the metadata inside.

    Raises:
        MissingPackage: If PyTorch is too old.
    """
    if not hasattr(torch, 'export') or not hasattr(torch.export, 'Dim'):
        raise MissingPackage(
            f'--format=torch_export needs torch >= 2.2, but this is torch {torch.__version__}.'
        )
    batch = torch.export.Dim('batch', min=1, max=4096)
    program = torch.export.export(model, (model.example(metadata),), dynamic_shapes=({0: batch},))
    torch.export.save(program, str(path), extra_files={EXTRA: json.dumps(metadata)})


def load_torch_export(path: Path, device: str) -> Run:
    """Load a file of ``torch.export``."""
    return _on_arrays(torch.export.load(str(path)).module(), device)


def _on_arrays(model: Callable, device: str) -> Run:

    def run(images):
        outputs = model(torch.from_numpy(images).to(device))
        return [output.cpu().numpy() for output in outputs]

    return run


class Format(NamedTuple):
    """How a format is written and loaded."""

    ending: str
    write: Callable
    load: Callable[[Path, str], Run]


FORMATS = dict(
    onnx=Format('.onnx', write_onnx, load_onnx),
    torchscript=Format('.pt', write_torchscript, load_torchscript),
    torch_export=Format('.pt2', write_torch_export, load_torch_export),
)
