import torch
from mmcv.cnn import fuse_conv_bn as fold
from mmpose.models.pose_estimators.base import BasePoseEstimator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .cuda_graph import check_graphs, use_graphs

_PLAIN = (nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward)


def check_model(model: nn.Module) -> None:
    """Check that an argument is a model, and not the name of one.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f'model must be a model, but is {model!r:.80}. Give what '
            'prtr_plugin.apis.load_model(name, weights) returns.'
        )


def switch_to_deploy(
    model: BasePoseEstimator,
    fuse_conv_bn: bool = True,
    channels_last: bool = True,
    cuda_graph: bool = False,
) -> BasePoseEstimator:
    """Make a trained model faster for inference, in place.

    Predictions change only by rounding. The model can no longer be trained and
    its state dict no longer fits the config, so call this after loading the
    weights.

    Args:
        model (:obj:`BasePoseEstimator`): Any pose estimator
        fuse_conv_bn (bool): Whether to fold batch norms into the convolutions
            before them, apart from those of timm, which contain an activation.
            Defaults to ``True``
        channels_last (bool): Whether to keep the channels of a pixel together
            in memory, which convolutions prefer. Defaults to ``True``
        cuda_graph (bool): Whether a GPU replays the network as CUDA graphs,
            one for each batch size, instead of the host launching every
            kernel. Only for two-stage models on a GPU, which cannot be moved
            or exported any more. Defaults to ``False``

    Returns:
        :obj:`BasePoseEstimator`: The same model, in evaluation mode and
        without gradients.

    Raises:
        TypeError: If ``model`` is no model.
        ValueError: If ``cuda_graph`` does not fit the model. It is not
            changed then.
    """
    check_model(model)
    if cuda_graph:
        check_graphs(model)
    model.eval()
    model.switch_to_deploy()
    if fuse_conv_bn:
        _protect_norms(model)
        fold(model)
    if channels_last:
        use_channels_last(model)
    model.requires_grad_(False)
    if cuda_graph:
        use_graphs(model)
    return model


def _protect_norms(model: nn.Module) -> None:
    """Keep batch norms that do more than normalising from being folded.

    Those of timm contain the activation, which would be lost. They are folded only right after
    a convolution in the same module.
    """
    for parent in list(model.modules()):
        children = dict(parent.named_children())
        norms = {name: child for name, child in children.items() if isinstance(child, _BatchNorm)}
        if all(type(norm).forward in _PLAIN for norm in norms.values()):
            continue
        before = dict(zip(list(children)[1:], children.values()))
        for name, norm in norms.items():
            # mmcv would take an earlier convolution for a norm that has none right before it
            plain = type(norm).forward in _PLAIN and isinstance(before.get(name), nn.Conv2d)
            if not plain:
                setattr(parent, name, nn.Sequential(norm))


def use_channels_last(model: nn.Module) -> None:
    """Keep the channels of a pixel together in memory, in place.

    Results and checkpoints do not change. Feature maps take the memory format
    of the convolutions' weights.

    Args:
        model (nn.Module): Any model.
    """
    for module in model.modules():
        # other 4-d parameters have no channels in that dimension
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
