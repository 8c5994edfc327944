from mmpose.utils.typing import ConfigType


def topdown_pipelines(
    codec: ConfigType,
    padding: float = 1.25,
    flip: bool = True,
    bbox_transform: str | None = 'RandomBBoxClippedNormal',
    scale_factor: tuple[float, float] = (0.7, 1.3),
    rotate_factor: float = 40,
    rotate_prob: float = 0.6,
    shift_prob: float = 0,
) -> tuple[list[dict], list[dict]]:
    """Make the two pipelines of a top-down config, from images to crops.

    The defaults are the paper's augmentation for COCO.

    A config must import this function below its ``_base_`` line. mmengine
    takes a file with an import above that line, or without that line, for a
    config in its pure Python style, which cannot inherit from text configs.

    Args:
        codec (dict): Config of the codec. Its ``input_size`` (w, h) is the
            size of the crops
        padding (float): Size of the crops relative to the boxes. Defaults to
            1.25
        flip (bool): Whether half of the people are mirrored in training.
            Defaults to ``True``
        bbox_transform (str, optional): Type of the transform that resizes,
            rotates and shifts boxes in training: ``RandomBBoxClippedNormal``
            or mmpose's ``RandomBBoxTransform``. With None boxes stay as they
            are, and the numbers below have no effect. Defaults to
            ``RandomBBoxClippedNormal``
        scale_factor (Tuple[float, float]): Limits of the scale. Defaults to
            (0.7, 1.3)
        rotate_factor (float): Standard deviation of the rotation in degrees.
            Defaults to 40
        rotate_prob (float): Probability of rotating. Defaults to 0.6
        shift_prob (float): Probability of a shift. Defaults to 0

    Returns:
        Tuple[List[dict], List[dict]]: The pipeline for training, and the one
        for validation and testing.

    Raises:
        ValueError: If the codec has no ``input_size``.

    Examples:
        >>> _base_ = './td-prtr_res50_4xb32-200e_coco-384x288.py'
        >>> from prtr_plugin.datasets import topdown_pipelines
        >>>
        >>> codec = dict(_base_.codec, input_size=(384, 512))
        >>> train_pipeline, val_pipeline = topdown_pipelines(codec)
    """
    if 'input_size' not in codec:
        raise ValueError(
            f'The codec {dict(codec)} has no input_size. Set it to the (width, height) of the '
            'crops in pixels.'
        )
    load: list[dict] = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=padding)]
    augment: list[dict] = []
    if flip:
        augment.append(dict(type='RandomFlip', direction='horizontal'))
    if bbox_transform is not None:
        augment.append(
            dict(
                type=bbox_transform,
                shift_prob=shift_prob,
                scale_factor=scale_factor,
                rotate_factor=rotate_factor,
                rotate_prob=rotate_prob,
            )
        )
    crop: list[dict] = [dict(type='TopdownAffine', input_size=codec['input_size'])]
    encode: list[dict] = [dict(type='GenerateTarget', encoder=codec)]
    pack: list[dict] = [dict(type='PackPoseInputs')]
    return load + augment + crop + encode + pack, load + crop + pack
