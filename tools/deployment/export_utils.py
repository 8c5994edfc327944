"""What ``export_onnx.py`` exports, and how it compares and times it."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmpose.models.pose_estimators.base import BasePoseEstimator
from torch import Tensor, nn

from prtr_plugin import __version__
from prtr_plugin.assignment import batched_linear_assignment
from prtr_plugin.models.estimators import PRTRCascade
from prtr_plugin.models.heads import PRTRHead


class RawModel(nn.Module):
    """A model from images as OpenCV reads them to its raw outputs.

    Args:
        model (:obj:`BasePoseEstimator`): A two-stage model with
            :class:`PRTRHead`, or :class:`PRTRCascade`
    """

    def __init__(self, model: BasePoseEstimator) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.output_names = ['cls_logits', 'coords']
        if isinstance(model, PRTRCascade):
            self.output_names = ['scores', 'boxes', *self.output_names]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Forward function.

        Args:
            images (Tensor): Crops of people or whole images in shape
                (B, 3, H, W), BGR, uint8

        Returns:
            tuple[Tensor, ...]: For a two-stage model class logits in shape
            (B, Q, K + 1) and coordinates relative to the crop in shape
            (B, Q, 2), for a cascade see :meth:`PRTRCascade._forward`.
        """
        # what the data preprocessor does, for a tensor
        preprocessor = self.model.data_preprocessor
        if preprocessor._channel_conversion:
            images = images[:, [2, 1, 0]]
        images = images.float()
        if preprocessor._enable_normalize:
            images = (images - preprocessor.mean) / preprocessor.std
        return tuple(self.model._forward(images))

    def example(self, metadata: dict, batch_size: int = 2) -> Tensor:
        """Random images of the size that the model is made for."""
        width, height = metadata['input_size']
        generator = torch.Generator().manual_seed(batch_size)
        images = torch.randint(
            256, (batch_size, 3, height, width), generator=generator, dtype=torch.uint8
        )
        return images.to(next(self.model.parameters()).device)


def describe(model: BasePoseEstimator, config_name: str) -> dict:
    """All that is needed to use the exported model, as JSON values.

    Args:
        model (:obj:`BasePoseEstimator`): The model, from
            :func:`prtr_plugin.apis.load_model`
        config_name (str): Name of its config

    Returns:
        dict: What README.md beside this file lists.

    Raises:
        ValueError: If the model is none of PRTR, or its test pipeline does
            something that onnx_inference.py does not know.
    """
    if not isinstance(getattr(model, 'head', None), PRTRHead):
        raise ValueError(
            'Only models with PRTRHead or a subclass can be exported, but '
            f'this is {type(model).__name__} with '
            f'{type(getattr(model, "head", None)).__name__}.'
        )
    meta, codec = model.dataset_meta, model.head.decoder
    names = meta['keypoint_id2name']
    result = dict(
        keypoint_names=[names[i] for i in range(codec.num_keypoints)],
        skeleton_links=[list(map(int, link)) for link in meta['skeleton_links']],
        flip_indices=list(map(int, meta['flip_indices'])),
        include_background=codec.include_background,
        color_order='BGR',
        config=config_name,
        prtr_plugin_version=__version__,
    )
    if isinstance(model, PRTRCascade):
        resize = _find(model.cfg, 'BottomupRandomChoiceResize')
        divisor = model.data_preprocessor.pad_size_divisor
        # one size, in a list or not
        size = np.reshape(resize.scales, -1).tolist()[:2]
        return dict(
            kind='cascade',
            # images are resized to fit in, to multiples of size_divisor
            input_size=[round(s / divisor) * divisor for s in size],
            keep_ratio=resize.get('keep_ratio', False),
            size_divisor=divisor,
            score_thr=model.test_cfg['score_thr'],
            **result,
        )
    if _find(model.cfg, 'TopdownAffine').get('use_udp', False):
        raise ValueError(
            'TopdownAffine has use_udp=True in the test pipeline '
            f'of {config_name}. Only use_udp=False is possible.'
        )
    return dict(
        kind='two_stage',
        input_size=list(map(int, codec.input_size)),
        bbox_padding=_find(model.cfg, 'GetBBoxCenterScale').get('padding', 1.25),
        **result,
    )


def _find(cfg: Config, name: str) -> Config:
    """The config of a transform of the test pipeline."""
    for transform in cfg.test_dataloader.dataset.pipeline:
        if transform.type == name:
            return transform
    raise ValueError(
        f'The test pipeline of the config has no {name}, which '
        'tells how images become the input of the network.'
    )


def compare(
    model: RawModel, run: Callable, metadata: dict, batch_sizes: Sequence[int], tolerance: float
) -> bool:
    """Compare the exported model with the original and print differences.

    Args:
        model (RawModel): The original
        run (Callable): From an array of images to the outputs of the export
        metadata (dict): See :func:`describe`
        batch_sizes (Sequence[int]): Numbers of random images
        tolerance (float): Largest allowed difference, relative to the largest
            value of an output if that is above 1

    Returns:
        bool: Whether all outputs agree.
    """
    passed = True
    print('Largest difference from PyTorch (largest value)')
    for batch_size in batch_sizes:
        images = model.example(metadata, batch_size)
        expected = [output.cpu().numpy() for output in model(images)]
        try:
            found = run(images.cpu().numpy())
        except Exception as error:
            raise ValueError(
                f'The export does not run for a batch of {batch_size}: {error}'
            ) from error
        expected = dict(zip(model.output_names, expected))
        found = dict(zip(model.output_names, found))
        if 'boxes' in found:
            found = _in_same_order(expected, found)
        cells = []
        for name, value in expected.items():
            difference = np.abs(value - found[name]).max()
            largest = np.abs(value).max()
            # so that NaN does not pass
            passed &= bool(difference <= tolerance * max(1, largest))
            cells.append(f'{name} {difference:.1e} ({largest:.2f})')
        print(f'  batch {batch_size}: {", ".join(cells)}')
    return passed


def _in_same_order(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sort people as expected: rounding can swap two of one score."""
    cost = np.abs(expected['boxes'][:, :, None] - found['boxes'][:, None])
    order = batched_linear_assignment(torch.from_numpy(cost.sum(-1)))
    return {name: np.stack([v[o] for v, o in zip(value, order)]) for name, value in found.items()}


def time_both(
    model: RawModel, run: Callable, metadata: dict, batch_sizes: Sequence[int], repeats: int
) -> None:
    """Print median times of the export and of the model in PyTorch.

    Args:
        model (RawModel): The model, fit for deployment
        run (Callable): From an array of images to the outputs of the export
        metadata (dict): See :func:`describe`
        batch_sizes (Sequence[int]): Numbers of random images
        repeats (int): Number of runs of each, in turns
    """
    print(f'Median of {repeats} runs in turns, {torch.get_num_threads()} threads')
    for batch_size in batch_sizes:
        images = model.example(metadata, batch_size)
        arrays = images.cpu().numpy()
        calls = dict(
            # .cpu() waits for the device
            torch=lambda: [output.cpu() for output in model(images)],
            export=lambda: run(arrays),
        )
        seconds = {name: [] for name in calls}
        for i in range(repeats + 1):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if i:  # not the first one, which sets things up
                    seconds[name].append(time.perf_counter() - start)
        ours, theirs = map(np.median, seconds.values())
        print(
            f'  batch {batch_size}: PyTorch {ours * 1e3:.1f} ms, export '
            f'{theirs * 1e3:.1f} ms, {ours / theirs:.2f} times as fast'
        )
