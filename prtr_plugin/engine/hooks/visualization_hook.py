from collections.abc import Sequence

import mmcv
from mmengine.dist import is_main_process
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample
from torch import nn

from ...visualization import draw_refinement, figure_to_image, read_layers
from ...visualization.layers import check_model


@HOOKS.register_module()
class PRTRVisualizationHook(Hook):
    """Draws during validation how joints move from one decoder layer to the next.

    The pictures show the first people of the validation set, the same ones
    each time, and go to all backends of the runner's visualizer under the
    names ``refinement_0``, ``refinement_1`` and so on. The local backend
    writes them to ``vis_data/vis_image`` of the run, and TensorBoard shows
    them with a slider for the training step. For two-stage models with
    :class:`PRTRHead`; without flip test.

    Args:
        enable (bool): Whether to draw at all. Nothing is computed otherwise.
            Defaults to ``False``
        interval (int): Draw in every ``interval``-th validation, the first
            one included. Defaults to 1
        num_pictures (int): Number of people, at most the validation batch
            size. Defaults to 4
        backend_args (dict, optional): Arguments of the file backend that
            reads the images. Defaults to None

    Raises:
        ValueError: If ``interval`` or ``num_pictures`` is not positive.

    Example:
        On the command line, for any config:

        >>> python tools/train.py CONFIG --cfg-options \
        ...     default_hooks.refinement.type=PRTRVisualizationHook \
        ...     default_hooks.refinement.enable=True

        In a config, with TensorBoard beside the local backend:

        >>> custom_hooks = [dict(type='PRTRVisualizationHook', enable=True)]
        >>> vis_backends = [
        ...     dict(type='LocalVisBackend'),
        ...     dict(type='TensorboardVisBackend')
        ... ]
        >>> visualizer = dict(vis_backends=vis_backends)
    """

    def __init__(
        self,
        enable: bool = False,
        interval: int = 1,
        num_pictures: int = 4,
        backend_args: dict | None = None,
    ) -> None:
        for name, value in (('interval', interval), ('num_pictures', num_pictures)):
            if value < 1:
                raise ValueError(
                    f'{name} of PRTRVisualizationHook must be at least 1, but '
                    f'got {value}. Set enable=False for no pictures.'
                )
        self.enable = enable
        self.interval = interval
        self.num_pictures = num_pictures
        self.backend_args = backend_args
        self._num_validations = 0

    def before_run(self, runner: Runner) -> None:
        """Check that there is something to draw.

        Raises:
            TypeError: If the model is not a two-stage one with
                :class:`PRTRHead`.
        """
        if self.enable:
            check_model(_unwrapped(runner.model))

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Draw the first people of the first batch.

        Args:
            runner (:obj:`Runner`): The runner of the validation
            batch_idx (int): The index of the batch
            data_batch (dict, optional): The batch
            outputs (Sequence[:obj:`PoseDataSample`], optional): Not used
        """
        if not self.enable or batch_idx > 0 or not is_main_process() or data_batch is None:
            return
        self._num_validations += 1
        if (self._num_validations - 1) % self.interval:
            return
        model = _unwrapped(runner.model)
        first = {key: value[: self.num_pictures] for key, value in data_batch.items()}
        outputs = read_layers(model, first)
        # mmpose gives the people of a file of boxes joints at (0, 0)
        annotated = not getattr(runner.val_dataloader.dataset, 'bbox_file', None)
        for i, sample in enumerate(outputs.data_samples):
            if not annotated:
                sample.gt_instances.keypoints_visible *= 0
            file = get(sample.img_path, backend_args=self.backend_args)
            image = mmcv.imfrombytes(file, channel_order='rgb')
            keypoints = outputs.keypoints[:, i : i + 1]
            meta = runner.val_evaluator.dataset_meta
            figure = draw_refinement([image], keypoints, [sample], meta)
            runner.visualizer.add_image(
                f'refinement_{i}', figure_to_image(figure), step=runner.iter
            )


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, not its wrapper of distributed training."""
    if is_model_wrapper(model):
        model = model.get_submodule('module')
    return model
