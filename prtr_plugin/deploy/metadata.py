import os.path as osp

import numpy as np
from mmengine.config import Config
from mmpose.models.pose_estimators.base import BasePoseEstimator

from ..models.estimators import PRTRCascade
from ..models.heads import PRTRHead
from ..version import __version__


def describe(model: BasePoseEstimator) -> dict:
    """Everything needed to use an exported model, as JSON values.

    Args:
        model (:obj:`BasePoseEstimator`): The model, from
            :func:`prtr_plugin.apis.load_model`

    Returns:
        dict: The metadata that README.md in ``tools/deployment`` lists.

    Raises:
        ValueError: If the model has no :class:`PRTRHead`, or its test
            pipeline does something that ``reader.py`` cannot repeat.
    """
    head = getattr(model, 'head', None)
    if not isinstance(head, PRTRHead):
        raise ValueError(
            'Only models with PRTRHead can be exported, but this is '
            f'{type(model).__name__} with {type(head).__name__}.'
        )
    meta, codec = model.dataset_meta, head.decoder
    names = meta['keypoint_id2name']
    config = osp.basename(model.cfg.filename or '')
    result = dict(
        keypoint_names=[names[i] for i in range(codec.num_keypoints)],
        skeleton_links=[list(map(int, link)) for link in meta['skeleton_links']],
        keypoint_colors=np.asarray(meta['keypoint_colors']).tolist(),
        skeleton_link_colors=np.asarray(meta['skeleton_link_colors']).tolist(),
        flip_indices=list(map(int, meta['flip_indices'])),
        include_background=codec.include_background,
        color_order='BGR',
        config=config,
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
            nms_thr=model.test_cfg['nms_thr'],
            **result,
        )
    if _find(model.cfg, 'TopdownAffine').get('use_udp', False):
        raise ValueError(
            f'TopdownAffine has use_udp=True in the test pipeline of {config}. Only '
            'use_udp=False can be exported.'
        )
    return dict(
        kind='two_stage',
        input_size=list(map(int, codec.input_size)),
        bbox_padding=_find(model.cfg, 'GetBBoxCenterScale').get('padding', 1.25),
        shift_coords=bool(model.test_cfg.get('shift_coords', False)),
        **result,
    )


def _find(cfg: Config, name: str) -> Config:
    """The config of a transform in the test pipeline."""
    for transform in cfg.test_dataloader.dataset.pipeline:
        if transform.type == name:
            return transform
    raise ValueError(
        f'The test pipeline of the config has no {name}, whose settings the exported model needs. '
        'Add it.'
    )
