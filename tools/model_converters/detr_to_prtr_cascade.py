"""Turn a published DETR into the person detector of a PRTRCascade.

Example::

    python tools/model_converters/detr_to_prtr_cascade.py \
        detr-r50-e632da11.pth data/detr/detr_r50_person.pth

The configs of the cascade start from such a file (``load_from``).

Reads the checkpoints of mmdet 3.x (such as detr_r50_8xb2-150e_coco) and of
facebookresearch/detr (such as detr-r50-e632da11.pth), tells them apart by
their keys and writes all parameters of ``PRTRCascade.detector``. The keypoint
part (``head.*``) is not in such a file and starts from scratch.

Of the class layer two rows are kept, "person" and "none"; the layer then
knows no other classes, so that a car, say, can get a higher person score than
DETR gave it, until the detector has been trained a little. All other keys of
the file are used and all parameters of the detector are filled, or nothing is
written and the error names the keys.

DETR was trained on **RGB** pixels with ImageNet's mean and std, so the config
of the cascade needs in its data preprocessor::

    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True

and in its detector ``positional_encoding=dict(num_feats=128, normalize=True)``
(both codes use the same encoding, without offset) with 8 heads. These, and
whether the backbone is dilated (facebookresearch's DC5 files), are not in the
weights: nothing can check them.
"""

import argparse
import re
from collections import OrderedDict

import torch
from converter_utils import (
    add_counters,
    check_paths,
    compare_with_model,
    load_checkpoint,
    rename,
    save_checkpoint,
    summarize,
    transformer_rules,
    unwrap,
)
from mmengine.config import Config
from mmpose.models.backbones import ResNet
from torch import Tensor

# facebookresearch's keys, and those of mmdet and of our detector
FACEBOOK_RULES = (
    ('backbone.0.body.{rest}', 'backbone.{rest}'),
    ('input_proj.{p}', 'neck.convs.0.conv.{p}'),
    ('query_embed.weight', 'query_embedding.weight'),
    *transformer_rules('transformer.', ''),
    ('class_embed.{p}', 'bbox_head.fc_cls.{p}'),
    ('bbox_embed.layers.0.{p}', 'bbox_head.reg_ffn.layers.0.0.{p}'),
    ('bbox_embed.layers.1.{p}', 'bbox_head.reg_ffn.layers.1.{p}'),
    ('bbox_embed.layers.2.{p}', 'bbox_head.fc_reg.{p}'),
)

# Keys that only the files of one source have, and rows of the class layer
# there and the one of people. facebookresearch's rows are COCO's ids 0 to 90,
# mmdet's are the 80 classes in order of their ids. The last is "none".
SOURCES = dict(mmdet=('bbox_head.fc_cls.weight', 81, 0), facebook=('class_embed.weight', 92, 1))

# What else a file can be, by its keys.
_OTHERS = (
    (
        r'^(detr\.|mask_head\.|bbox_attention\.)',
        'a segmentation file, whose DETR may have other classes. Give the '
        'detection file of the same backbone.',
    ),
    (
        r'^bbox_head\.transformer\.',
        'a file of mmdet 2.x, which is not supported. Give one of mmdet 3.x or '
        'of facebookresearch/detr.',
    ),
    (
        r'^transformer_kpt\.',
        'a sequential PRTR file of the authors. Use sequential_to_prtr_cascade.py.',
    ),
    (r'^detector\.', 'a file of PRTRCascade already.'),
    (r'^(kpt_embed\.|head\.)', 'a two-stage PRTR file, which has no detector. Give one of DETR.'),
    (
        r'sampling_offsets|^bbox_head\.cls_branches\.|^rpn_head\.',
        'another detector than the plain DETR. Give one of DETR.',
    ),
)


def find_source(state_dict: dict[str, Tensor]) -> str:
    """Tell where a DETR comes from.

    Args:
        state_dict (dict): Weights, as :func:`unwrap` returns them.

    Returns:
        str: ``'mmdet'`` or ``'facebook'``.

    Raises:
        ValueError: If it is something else, which is named.
    """
    for pattern, name in _OTHERS:
        found = list(filter(re.compile(pattern).search, state_dict))
        if found:
            raise ValueError(f'This (it has "{found[0]}") is {name}')
    for source, (key, *_) in SOURCES.items():
        if key in state_dict:
            return source
    raise ValueError(
        'This is no DETR: neither of the class layers '
        + ', '.join(f'"{key}" ({s})' for s, (key, *_) in SOURCES.items())
        + ' is in the file.'
    )


def infer_detector(state_dict: dict[str, Tensor]) -> dict:
    """Config of a detector with the sizes of given weights.

    For names and shapes only: the number of attention heads, strides and
    dilations cannot be read from weights.

    Args:
        state_dict (dict): Weights with the keys of ``PersonDETR``.

    Returns:
        dict: Config of a ``PersonDETR`` with a ResNet.

    Raises:
        ValueError: If a key that tells a size is missing, or the backbone is
            no ResNet.
    """

    def shape(key: str) -> torch.Size:
        if key not in state_dict:
            raise ValueError(f'The file has too few keys.\nmissing (1):\n  {key}')
        return state_dict[key].shape

    num_queries, embed_dims = shape('query_embedding.weight')
    attention = dict(embed_dims=embed_dims, num_heads=1)
    layer = dict(
        self_attn_cfg=attention,
        ffn_cfg=dict(
            embed_dims=embed_dims,
            feedforward_channels=shape('decoder.layers.0.ffn.layers.0.0.weight')[0],
        ),
    )
    shape('encoder.layers.0.self_attn.attn.in_proj_weight')
    blocks = tuple(count(state_dict, f'backbone.layer{i}.') for i in range(1, 5))
    bottleneck = 'backbone.layer1.0.conv3.weight' in state_dict
    depths = [
        depth
        for depth, (block, num) in ResNet.arch_settings.items()
        if num == blocks and (block.__name__ == 'Bottleneck') == bottleneck
    ]
    if not depths:
        raise ValueError(
            f'The backbone has {blocks} blocks in its stages, which is no '
            'ResNet-18, 34, 50, 101 or 152. If the file is complete, give '
            'the config of the cascade with --config.'
        )
    return dict(
        type='PersonDETR',
        num_queries=num_queries,
        backbone=dict(
            type='mmpose.ResNet',
            depth=depths[0],
            stem_channels=shape('backbone.conv1.weight')[0],
            base_channels=shape('backbone.layer1.0.conv1.weight')[0],
        ),
        neck=dict(
            type='mmdet.ChannelMapper',
            in_channels=[shape('neck.convs.0.conv.weight')[1]],
            kernel_size=1,
            out_channels=embed_dims,
            act_cfg=None,
            norm_cfg=None,
        ),
        encoder=dict(num_layers=count(state_dict, 'encoder.layers.'), layer_cfg=layer),
        decoder=dict(
            num_layers=count(state_dict, 'decoder.layers.'),
            layer_cfg=dict(cross_attn_cfg=attention, **layer),
        ),
        positional_encoding=dict(num_feats=embed_dims // 2, normalize=True),
        bbox_head=dict(type='mmpose.PersonDETRHead', embed_dims=embed_dims),
    )


def count(state_dict: dict[str, Tensor], prefix: str) -> int:
    """Number of layers by the highest index that follows ``prefix``."""
    pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
    found = filter(None, map(pattern.match, state_dict))
    return max((int(match[1]) + 1 for match in found), default=0)


def keep_person(state_dict: dict[str, Tensor], num_rows: int, person_row: int) -> OrderedDict:
    """Cut the class layer down to "person" and "none".

    Args:
        state_dict (dict): Weights with the keys of ``PersonDETR``.
        num_rows (int): Rows that the layer must have.
        person_row (int): Row of people. "None" is the last one.

    Raises:
        ValueError: If the layer has another number of rows.
    """
    result = OrderedDict(state_dict)
    for name in ('weight', 'bias'):
        key = f'bbox_head.fc_cls.{name}'
        value = state_dict.get(key)
        if value is None:
            continue  # which is reported with all that is missing
        if len(value) != num_rows:
            raise ValueError(
                f'The class layer has {len(value)} rows ({key}), but a DETR '
                f'for COCO has {num_rows} there. If this one was trained on '
                'other classes, name the row of people with --person-row.'
            )
        result[key] = value[[person_row, num_rows - 1]].clone()
    return result


def convert_state_dict(
    checkpoint: dict,
    source: str = 'auto',
    person_row: int | None = None,
    detector: dict | None = None,
) -> tuple[OrderedDict, str]:
    """Convert the weights of a DETR to those of the detector of the cascade.

    Args:
        checkpoint (dict): State dict, or a checkpoint that holds one.
        source (str): ``'mmdet'``, ``'facebook'`` or ``'auto'``.
        person_row (int, optional): Row of people in the class layer, of any
            number of classes. Defaults to that of COCO.
        detector (dict, optional): Config of the detector that the result has
            to fit. Defaults to one of the sizes that the file has, so that a
            last layer that is missing as a whole is not noticed.

    Returns:
        tuple[OrderedDict, str]: Weights with the prefix ``detector.``, and a
        text that says what they are.

    Raises:
        ValueError: If a key is unknown, missing or of the wrong shape, or the
            file is something else.
    """
    state_dict = unwrap(checkpoint)
    found = find_source(state_dict)
    if source not in ('auto', found):
        raise ValueError(
            f'--source is {source}, but the file has "{SOURCES[found][0]}", the key of {found}.'
        )
    key, num_rows, row = SOURCES[found]
    if person_row is not None:
        num_rows, row = len(state_dict[key]), person_row
        if not 0 <= row < num_rows - 1:
            raise ValueError(
                f'--person-row is {row}, but the class layer has the classes '
                f'0 to {num_rows - 2}, and "none" after them.'
            )
    if found == 'facebook':
        state_dict = add_counters(
            rename(state_dict, FACEBOOK_RULES, 'This is no plain DETR of facebookresearch.')
        )
    state_dict = keep_person(state_dict, num_rows, row)
    if detector:
        remedy = (
            'The file does not fit the detector of --config: use a '
            'config with its backbone, width, layers and queries.'
        )
    else:
        detector = infer_detector(state_dict)
        remedy = 'The file is no complete DETR: get it again.'
    compare_with_model(state_dict, detector, remedy)
    summary = (
        f'DETR of {found}: {len(state_dict["query_embedding.weight"])} '
        f'queries, {count(state_dict, "encoder.layers.")} encoder and '
        f'{count(state_dict, "decoder.layers.")} decoder layers\n'
        f'class layer: rows {row} (person) and {num_rows - 1} (none) kept, '
        f'{num_rows - 2} dropped'
    )
    return OrderedDict((f'detector.{key}', value) for key, value in state_dict.items()), summary


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Turn a DETR checkpoint of mmdet or facebookresearch '
        'into the detector of a PRTRCascade.'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--source',
        choices=['auto', *SOURCES],
        default='auto',
        help='whose checkpoint it is (default: told by its keys)',
    )
    parser.add_argument(
        '--config',
        help='config of the PRTRCascade whose detector the weights have to '
        'fit (default: any that is complete in itself)',
    )
    parser.add_argument(
        '--person-row',
        type=int,
        help='row of people in the class layer, if DETR was trained on other '
        'classes than those of COCO',
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle Python objects in IN, which runs code of its author; '
        'training checkpoints need this',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_paths(args.input, args.output)
    try:
        detector = None
        if args.config:
            model = Config.fromfile(args.config).get('model', {})
            if 'detector' not in model:
                raise ValueError(
                    f'The model of --config {args.config} has no detector: give one of PRTRCascade.'
                )
            detector = model.detector
        result, summary = convert_state_dict(
            load_checkpoint(args.input, args.trust), args.source, args.person_row, detector
        )
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'Cannot convert "{args.input}": {error}')
    save_checkpoint(
        dict(meta=dict(converter='detr_to_prtr_cascade'), state_dict=result), args.output
    )

    print(f'{args.input} -> {args.output}: {len(result):,} keys written')
    print(summary)
    print(summarize(result))
    print(
        'The config needs bgr_to_rgb=True; parameters of the cascade that '
        'are not in the file: head.*'
    )


if __name__ == '__main__':
    main()
