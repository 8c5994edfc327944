"""Tests of the converter from DETR to the detector of PRTRCascade."""

import copy
import re
from collections import OrderedDict

import pytest
import torch
from mmdet.registry import MODELS as DET_MODELS
from mmengine.structures import InstanceData

from helpers import small_cascade
from prtr_plugin.checkpoints import convert_detr

# mmcv writes a dropout into the default of all later attention layers: 0 here
ATTENTION = dict(embed_dims=16, num_heads=2, dropout=0.0, batch_first=True)
FFN = dict(
    embed_dims=16,
    feedforward_channels=32,
    num_fcs=2,
    ffn_drop=0.0,
    act_cfg=dict(type='ReLU', inplace=True),
)
SHAPES = [(64, 90), (50, 96)]  # padded to 64x96


def mmdet_detr(num_classes=80, num_queries=9):
    """mmdet's DETR, written as mmdet writes it, as large as the detector of
    the small cascade."""
    cfg = dict(
        type='DETR',
        num_queries=num_queries,
        backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3,)),
        neck=dict(
            type='ChannelMapper',
            in_channels=[64],
            kernel_size=1,
            out_channels=16,
            act_cfg=None,
            norm_cfg=None,
            num_outs=1,
        ),
        encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
        decoder=dict(
            num_layers=2,
            layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN),
            return_intermediate=True,
        ),
        positional_encoding=dict(num_feats=8, normalize=True),
        bbox_head=dict(
            type='DETRHead',
            num_classes=num_classes,
            embed_dims=16,
            # spelled out as mmdet changes its default when it uses it
            loss_cls=dict(
                type='CrossEntropyLoss',
                bg_cls_weight=0.1,
                use_sigmoid=False,
                loss_weight=1.0,
                class_weight=1.0,
            ),
        ),
    )
    torch.manual_seed(4)
    model = DET_MODELS.build(copy.deepcopy(cfg)).eval()
    for name, value in model.state_dict().items():
        # queries, boxes and batch statistics that differ
        if name.endswith('running_var'):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.add_(torch.randn_like(value), alpha=0.3)
    return model


@pytest.fixture(scope='module')
def detr():
    return mmdet_detr()


@pytest.fixture
def mmdet(detr):
    return OrderedDict((k, v.clone()) for k, v in detr.state_dict().items())


@pytest.fixture
def facebook(mmdet):
    return as_facebook(mmdet)


# Ours to facebookresearch's, written apart from the rules of the tool.
NAMES = [
    ('backbone.', 'backbone.0.body.'),
    ('neck.convs.0.conv.', 'input_proj.'),
    ('query_embedding.', 'query_embed.'),
    ('bbox_head.fc_cls.', 'class_embed.'),
    ('bbox_head.reg_ffn.layers.0.0.', 'bbox_embed.layers.0.'),
    ('bbox_head.reg_ffn.layers.1.', 'bbox_embed.layers.1.'),
    ('bbox_head.fc_reg.', 'bbox_embed.layers.2.'),
    ('encoder.', 'transformer.encoder.'),
    ('decoder.', 'transformer.decoder.'),
]
PARTS = {
    'self_attn.attn.': 'self_attn.',
    'cross_attn.attn.': 'multihead_attn.',
    'ffn.layers.0.0.': 'linear1.',
    'ffn.layers.1.': 'linear2.',
    'norms.0.': 'norm1.',
    'norms.1.': 'norm2.',
    'norms.2.': 'norm3.',
    'post_norm.': 'norm.',
}


def as_facebook(mmdet):
    """The same DETR as facebookresearch stores it: 91 ids and "none", person
    in row 1, and batch norms without a counter."""
    result = OrderedDict()
    for key, value in mmdet.items():
        if key.endswith('num_batches_tracked'):
            continue
        ours, theirs = next(n for n in NAMES if key.startswith(n[0]))
        key = theirs + key[len(ours) :]
        if key.startswith('transformer.'):
            for ours, theirs in PARTS.items():
                key = key.replace(ours, theirs)
        if key.startswith('class_embed.'):
            rows = torch.full((92, *value.shape[1:]), 7.0)
            rows[1], rows[91] = value[0], value[80]
            value = rows
        result[key] = value
    return result


def load(result):
    """A cascade with converted weights, loaded as ``load_from`` does."""
    model = small_cascade.build().eval()
    missing, unexpected = model.load_state_dict(result, strict=False)
    assert not unexpected
    assert missing and all(key.startswith('head.') for key in missing)
    return model


def batch():
    images, samples = small_cascade.batch(InstanceData(), InstanceData(), shapes=SHAPES)
    for sample in samples:
        sample.set_metainfo(dict(batch_input_shape=small_cascade.SIZE))
    return images, samples


def detect(cascade):
    images, samples = batch()
    with torch.no_grad():
        return cascade.forward_detector(cascade.extract_feat(images), samples)


def assert_same_people(cascade, detr):
    with torch.no_grad():
        scores, boxes = detr._forward(*batch())
    ours = detect(cascade)
    assert boxes.std(dim=2).min() > 1e-3  # the test tells queries apart
    torch.testing.assert_close(ours[0], scores[..., [0, 80]], rtol=0, atol=1e-5)
    torch.testing.assert_close(ours[1], boxes, rtol=0, atol=1e-5)


def test_mmdet(detr, mmdet):
    result, summary = convert_detr(mmdet)
    assert len(result) == len(mmdet)
    assert_same_people(load(result), detr)
    assert 'mmdet: 9 queries, 1 encoder and 2 decoder layers' in summary
    assert 'rows 0 (person) and 80 (none) kept, 79 dropped' in summary


@pytest.mark.parametrize(
    'wrap',
    [
        lambda x: x,
        lambda x: dict(model=x),
        lambda x: dict(model=x, optimizer={}, epoch=3),
        lambda x: {f'module.{k}': v for k, v in x.items()},
        lambda x: dict(state_dict={f'module.{k}': v for k, v in x.items()}),
    ],
)
def test_facebook(detr, mmdet, facebook, wrap):
    result, summary = convert_detr(wrap(facebook))
    assert 'facebook' in summary
    assert 'rows 1 (person) and 91 (none) kept, 90 dropped' in summary
    same, _ = convert_detr(mmdet)
    assert set(result) == set(same)
    for key, value in result.items():
        assert value.dtype == same[key].dtype
        assert torch.equal(value, same[key]), key
    assert_same_people(load(result), detr)


def test_dropped_rows_do_not_matter(mmdet):
    before = detect(load(convert_detr(mmdet)[0]))
    mmdet['bbox_head.fc_cls.weight'][1:80] = 0
    after = detect(load(convert_detr(mmdet)[0]))
    for a, b in zip(before, after):
        assert torch.equal(a, b)


def test_sizes_of_the_published_files(manifests):
    """DETR-R50 by its keys and shapes; those of the sequential network are
    the same but for the class layer."""
    shapes = {
        key: shape
        for key, shape in manifests['prtr_sequential_res50'].items()
        if not key.startswith(('transformer_kpt', 'row_', 'col_'))
    }
    shapes['class_embed.weight'], shapes['class_embed.bias'] = [92, 256], [92]
    state = {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}
    result, summary = convert_detr(dict(model=state))
    assert '100 queries, 6 encoder and 6 decoder layers' in summary
    params = sum(
        v.numel() for k, v in result.items() if not re.search('running_|tracked|bn|downsample.1', k)
    )
    # those of DETR-R50 and its frozen stages, without 90 rows of classes
    assert params == 41302368 + 222400 - 90 * 257


@pytest.mark.parametrize(
    'key',
    [
        'decoder.layers.1.norms.2.bias',
        'backbone.layer2.1.bn1.running_mean',
        'query_embedding.weight',
        'bbox_head.fc_cls.bias',
        'neck.convs.0.conv.weight',
        'encoder.layers.0.ffn.layers.1.bias',
        'decoder.layers.0.ffn.layers.0.0.weight',
    ],
)
def test_missing_keys(mmdet, key):
    del mmdet[key]
    with pytest.raises(ValueError, match=rf'missing \(1\):\n  {key}'):
        convert_detr(mmdet)


def test_unknown_keys(mmdet, facebook):
    mmdet['bbox_head.gamma'] = torch.ones(1)
    with pytest.raises(ValueError, match=r'unexpected \(1\):\n  bbox_head\.gamma'):
        convert_detr(mmdet)
    facebook['gamma'] = torch.ones(1)
    with pytest.raises(ValueError, match=r'unknown \(1\):\n  gamma'):
        convert_detr(facebook)


def test_wrong_shape(facebook):
    facebook['bbox_embed.layers.2.bias'] = torch.zeros(3)
    with pytest.raises(ValueError, match=r'fc_reg\.bias \(3,\) instead of \(4,\)'):
        convert_detr(facebook)


def test_number_of_classes(facebook):
    detr = mmdet_detr(num_classes=3)
    state = detr.state_dict()
    with pytest.raises(ValueError, match='4 rows.* has 81.*--person-row'):
        convert_detr(state)
    result, summary = convert_detr(state, person_row=2)
    assert 'rows 2 (person) and 3 (none) kept, 2 dropped' in summary
    weight = detr.bbox_head.fc_cls.weight
    assert torch.equal(result['detector.bbox_head.fc_cls.weight'], weight[2:])
    with pytest.raises(ValueError, match='classes 0 to 2'):
        convert_detr(state, person_row=3)
    facebook['class_embed.bias'] = torch.zeros(81)
    with pytest.raises(ValueError, match='81 rows .*bias.* has 92'):
        convert_detr(facebook)


@pytest.mark.parametrize(
    'key, message',
    [
        ('detr.transformer.encoder.norm.weight', 'segmentation'),
        ('mask_head.lay1.weight', 'segmentation'),
        ('bbox_head.transformer.encoder.x', r'mmdet 2\.x'),
        ('transformer_kpt.input_proj.bias', 'sequential_to_prtr_cascade'),
        ('kpt_embed.layers.0.bias', 'two-stage PRTR'),
        ('head.fc_cls.bias', 'two-stage PRTR'),
        ('detector.bbox_head.fc_cls.bias', 'already a file of PRTRCascade'),
        ('bbox_head.cls_branches.0.bias', 'a detector other than'),
        ('backbone.conv1.weight', 'not a DETR'),
    ],
)
def test_other_files(key, message):
    with pytest.raises(ValueError, match=message):
        convert_detr({key: torch.ones(1)})


def test_two_stage_file_of_this_project():
    state = small_cascade.build().state_dict()
    with pytest.raises(ValueError, match='already'):
        convert_detr(state)


def test_source(mmdet, facebook):
    convert_detr(mmdet, origin='mmdet')
    convert_detr(facebook, origin='facebook')
    with pytest.raises(ValueError, match=r'--source\) is facebook, but.*mmdet'):
        convert_detr(mmdet, origin='facebook')


def test_whole_layer_missing_is_noticed_with_a_config(mmdet):
    convert_detr(mmdet, copy.deepcopy(small_cascade.CONFIG))
    for key in [k for k in mmdet if k.startswith('decoder.layers.1.')]:
        del mmdet[key]
    assert '1 decoder layers' in convert_detr(mmdet)[1]
    with pytest.raises(ValueError, match='(?s)--config.*decoder.layers.1.'):
        convert_detr(mmdet, copy.deepcopy(small_cascade.CONFIG))


def test_config_without_detector(mmdet):
    with pytest.raises(ValueError, match='no detector'):
        convert_detr(mmdet, dict(type='TopdownPoseEstimator'))
