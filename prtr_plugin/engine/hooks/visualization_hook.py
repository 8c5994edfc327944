from collections.abc import Sequence

import mmcv
from mmengine.dist import is_main_process
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample

from ...visualization import draw_refinement, figure_to_image, read_layers


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

        Raises:
            TypeError: If the model is not a two-stage one with
                :class:`PRTRHead`.
        """
        if not self.enable or batch_idx > 0 or not is_main_process() or data_batch is None:
            return
        self._num_validations += 1
        if (self._num_validations - 1) % self.interval:
            return
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        first = {key: value[: self.num_pictures] for key, value in data_batch.items()}
        outputs = read_layers(model, first)
        for i, sample in enumerate(outputs.data_samples):
            file = get(sample.img_path, backend_args=self.backend_args)
            image = mmcv.imfrombytes(file, channel_order='rgb')
            keypoints = outputs.keypoints[:, i : i + 1]
            meta = runner.val_evaluator.dataset_meta
            figure = draw_refinement([image], keypoints, [sample], meta)
            runner.visualizer.add_image(
                f'refinement_{i}', figure_to_image(figure), step=runner.iter
            )
