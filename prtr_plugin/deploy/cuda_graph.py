"""The network of a two-stage model as CUDA graphs, one for each batch size."""

from collections.abc import Callable
from typing import Any

import torch
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.models.pose_estimators.base import BasePoseEstimator
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

# each has memory of its own on the GPU
MAX_GRAPHS = 8


class GraphedCall:
    """A function of tensors that a GPU replays instead of the host launching it.

    The first call with inputs of some shapes and data types, in some precision, records a graph,
    and later ones copy their inputs to its memory and replay it. Beyond ``MAX_GRAPHS`` the
    function runs as it is.

    Args:
        function (Callable): A function without random numbers whose outputs
            depend on the values of tensors only, and which waits for nothing.
            Its inputs and outputs may be nested tuples and lists
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.graphs: dict[tuple, tuple[Callable[[], None], list, Any]] = {}

    # a recorded graph can be kept for inference mode and for normal mode alike
    @torch.inference_mode(False)
    @torch.no_grad()
    def __call__(self, *args, **kwargs):
        """Call the function, without gradients."""
        leaves, structure = tree_flatten((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        key = (
            str(structure),
            *((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in leaves),
            torch.is_autocast_enabled(),
            torch.get_autocast_gpu_dtype(),
            # a graph keeps the kernels that were chosen
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
        )
        if key not in self.graphs:
            if len(self.graphs) == MAX_GRAPHS:
                return self.function(*args, **kwargs)
            inputs = [x.clone() if isinstance(x, Tensor) else x for x in leaves]
            own_args, own_kwargs = tree_unflatten(inputs, structure)
            replay, outputs = record(
                lambda: self.function(*own_args, **own_kwargs), tensors[0].device
            )
            own_tensors = [x for x in inputs if isinstance(x, Tensor)]
            self.graphs[key] = replay, own_tensors, outputs
        replay, own_tensors, outputs = self.graphs[key]
        for own, x in zip(own_tensors, tensors):
            own.copy_(x)
        replay()
        # the next replay overwrites them
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, outputs)


def record(call: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
    """Record what a function does on a GPU.

    Args:
        call (Callable): The function
        device (torch.device): The GPU

    Returns:
        tuple:
        - replay (Callable): Does it again
        - outputs: What the function returned, whose tensors a replay overwrites
    """
    with torch.cuda.device(device):
        # libraries set themselves up in the first calls, on a stream of their own as the
        # documentation of CUDA graphs in PyTorch asks
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # other threads, such as those of dataloaders, may go on allocating memory
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            outputs = call()
    return graph.replay, outputs


def check_graphs(model: BasePoseEstimator) -> None:
    """Check that a model can run as CUDA graphs.

    Args:
        model (:obj:`BasePoseEstimator`): Any pose estimator

    Raises:
        ValueError: If it is not on a GPU or not a two-stage model.
    """
    device = next(model.parameters()).device
    if device.type != 'cuda':
        raise ValueError(
            f'cuda_graph=True needs a GPU, but the model is on device "{device}". Load it with '
            'device="cuda", or leave cuda_graph out.'
        )
    if not isinstance(model, TopdownPoseEstimator):
        raise ValueError(
            f'cuda_graph=True needs inputs of one shape, but {type(model).__name__} takes images '
            'of many. Leave cuda_graph out, or take a two-stage model.'
        )


def use_graphs(model: BasePoseEstimator) -> None:
    """Run backbone, neck and head as CUDA graphs from now on, in place.

    Args:
        model (:obj:`BasePoseEstimator`): A two-stage model in evaluation mode
            that :func:`check_graphs` accepts. Its weights stay where they are
    """
    # one after the other: between them may be a flip test, which joins feature maps
    model.extract_feat = GraphedCall(model.extract_feat)
    # the last layers of a PRTRHead are few; read-out goes to the host
    part: nn.Module = getattr(model.head, 'transformer', model.head)
    part.forward = GraphedCall(part.forward)
    if getattr(part, 'with_maps', False):
        model.head._locate = GraphedCall(model.head._locate)
