"""Tests of the converter between the authors' files and mmpose's layout.

Values are one number per key, stored without memory.
"""

import re
from collections import OrderedDict

import pytest
import torch
from mmpose.registry import MODELS

from prtr_plugin.checkpoints import CheckpointError, convert_two_stage, revert_two_stage, summarize
from prtr_plugin.checkpoints.two_stage import infer_model

# Blocks of stages 3 and 2 of the deeper ResNets (ResNet-50 has 6 and 4).
DEEPER = {101: dict(layer3=23), 152: dict(layer3=36, layer2=8)}


def weights(shapes):
    """A different number in every tensor; 0 for counters. The copies that the
    deformable model stores of a layer are the same."""
    result, numbers = OrderedDict(), {}
    for key, shape in shapes.items():
        if key.endswith('num_batches_tracked'):
            value = torch.tensor(0)
        else:
            name = re.sub(r'^(class_embed|kpt_embed)\.\d+\.', r'\1.', key)
            i = numbers.setdefault(name, len(numbers))
            value = torch.tensor(1 + i / 1024)
        result[key] = value.expand(shape)
    return result


def deeper(shapes, depth, num_keypoints):
    """The manifest of ResNet-50 grown to another depth and number of joints.

    Blocks 1, 2, ... of a stage have the same shapes.
    """
    shapes = dict(shapes)
    for stage, num_blocks in DEEPER.get(depth, {}).items():
        pattern = re.compile(rf'(.*\.{stage}\.)1(\..*)')
        for match in list(filter(None, map(pattern.fullmatch, shapes))):
            for i in range(1, num_blocks):
                key = f'{match[1]}{i}{match[2]}'
                shapes[key] = shapes[match[0]]
    for key, shape in shapes.items():
        if key.startswith('class_embed.'):
            shapes[key] = (num_keypoints + 1, *shape[1:])
    return shapes


@pytest.fixture
def res50(manifests):
    return weights(manifests['prtr_res50_384x288_coco'])


@pytest.fixture
def deformable(manifests):
    return weights(manifests['deform_prtr_res50_384x288_coco'])


def assert_same(left, right):
    assert set(left) == set(right)
    for key, value in left.items():
        assert value.dtype == right[key].dtype, key
        assert torch.equal(value, right[key]), key


# Parameters: those of the authors plus the affine parameters of the
# ResNets' batch norms, which the authors count as buffers.
@pytest.mark.parametrize(
    'depth, num_keypoints, num_params',
    [
        (50, 17, 41_505_236 + 53_120),
        (101, 17, 60_445_140 + 105_344),
        (152, 16, 76_042_451 + 151_424),
    ],
)
def test_resnet_round_trip(manifests, depth, num_keypoints, num_params):
    shapes = deeper(manifests['prtr_res50_384x288_coco'], depth, num_keypoints)
    theirs = weights(shapes)
    ours = convert_two_stage(theirs)
    model = infer_model(ours)
    assert model['backbone']['depth'] == depth
    assert model['head']['out_channels'] == num_keypoints
    counters = [k for k in ours if k.endswith('num_batches_tracked')]
    assert len(ours) == len(theirs) + len(counters)
    total = summarize(ours).splitlines()[-1].split()
    assert total[:3] == ['total', f'{len(ours):,}', f'{num_params:,}']
    assert_same(revert_two_stage(ours), theirs)


@pytest.mark.parametrize(
    'depth, num_keypoints, num_params',
    [
        (50, 17, 46_251_734 + 53_120),
        (101, 17, 46_251_734 + 18_939_904 + 105_344),
        (50, 3, 46_251_734 - 14 * 257 + 53_120),
    ],
)
def test_deformable_round_trip(manifests, depth, num_keypoints, num_params):
    theirs = weights(deeper(manifests['deform_prtr_res50_384x288_coco'], depth, num_keypoints))
    ours = convert_two_stage(theirs)
    model = infer_model(ours)
    assert model['backbone']['depth'] == depth
    assert model['head']['transformer']['type'] == 'DeformablePRTRTransformer'
    assert model['head']['out_channels'] == num_keypoints
    counters = [k for k in ours if k.endswith('num_batches_tracked')]
    # 5 copies of 8 parameters
    assert len(ours) == len(theirs) + len(counters) - 5 * 8
    total = summarize(ours).splitlines()[-1].split()
    assert total[:3] == ['total', f'{len(ours):,}', f'{num_params:,}']
    back = revert_two_stage(ours)
    assert_same(back, theirs)


def test_deformable_norms(deformable):
    """Those of the decoder are counted in another order."""
    ours = convert_two_stage(deformable)
    for part, order in (('encoder', '12'), ('decoder', '213')):
        for i, theirs in enumerate(order):
            assert torch.equal(
                ours[f'head.transformer.{part}.layers.2.norms.{i}.bias'],
                deformable[f'transformer.{part}.layers.2.norm{theirs}.bias'],
            )


@pytest.mark.parametrize(
    'key, name',
    [
        ('transformer.level_embed', 'head.transformer.level_embed'),
        ('transformer.reference_points.bias', 'head.transformer.reference_points_fc.bias'),
        ('input_proj.3.0.weight', 'head.transformer.input_proj.extra_convs.0.conv.weight'),
        (
            'transformer.encoder.layers.5.',
            'head.transformer.encoder.layers.5.self_attn.value_proj.weight',
        ),
    ],
)
def test_deformable_must_be_complete(deformable, key, name):
    for found in [k for k in deformable if k.startswith(key)]:
        del deformable[found]
    with pytest.raises(CheckpointError, match=r'(?s)missing \(') as error:
        convert_two_stage(deformable)
    assert f'  {name}' in str(error.value)


def test_deformable_unknown_key(deformable):
    deformable['transformer.decoder.layers.0.cross_attn.gamma'] = torch.ones(1)
    deformable['input_proj.4.0.bias'] = torch.ones(256)
    with pytest.raises(CheckpointError, match=r'(?s)unexpected \(2\).*gamma'):
        convert_two_stage(deformable)


@pytest.mark.parametrize(
    'change',
    [
        lambda w: w.pop('kpt_embed.4.layers.1.bias'),
        lambda w: w.update({'kpt_embed.4.layers.1.bias': torch.zeros(256)}),
        lambda w: w.update({'kpt_embed.4.layers.1.bias': torch.zeros(3)}),
        # a decoder of one layer less, with the copies of all
        lambda w: [w.pop(k) for k in list(w) if '.decoder.layers.4.' in k],
    ],
)
def test_deformable_copies_must_be_the_same(deformable, change):
    """Else the decoder layers would not share their outputs."""
    change(deformable)
    with pytest.raises(CheckpointError, match=r'(?s)a copy.*kpt_embed\.4\.layers\.1\.bias'):
        convert_two_stage(deformable)


def test_hrnet_round_trip(manifests):
    theirs = weights(manifests['prtr_hrnet_w32_384x288_coco'])
    ours = convert_two_stage(theirs)
    assert len(ours) == len(theirs)
    total = summarize(ours).splitlines()[-1].split()
    assert total == ['total', f'{len(ours):,}', '57,234,004', '74,949']
    assert torch.equal(
        ours['neck.incre_modules.2.0.downsample.0.weight'],
        theirs['backbone.0.body.incre_modules.2.0.downsample.0.weight'],
    )
    assert torch.equal(
        ours['backbone.stage3.1.branches.2.0.conv1.weight'],
        theirs['backbone.0.body.stage3.1.branches.2.0.conv1.weight'],
    )
    assert_same(revert_two_stage(ours), theirs)


def test_meaning_of_keys(res50):
    """The map, spelled out for one layer of each kind."""
    pairs = {
        'backbone.0.body.layer3.5.bn2.running_var': 'backbone.layer3.5.bn2.running_var',
        'input_proj.weight': 'head.transformer.input_proj.weight',
        'query_embed.weight': 'head.transformer.query_embedding.weight',
        'class_embed.bias': 'head.fc_cls.bias',
        'kpt_embed.layers.2.weight': 'head.kpt_branches.0.layers.2.weight',
        'transformer.decoder.norm.bias': 'head.transformer.decoder.post_norm.bias',
    }
    encoder = {
        'self_attn.in_proj_weight': 'self_attn.attn.in_proj_weight',
        'linear1.weight': 'ffn.layers.0.0.weight',
        'linear2.bias': 'ffn.layers.1.bias',
        'norm1.weight': 'norms.0.weight',
        'norm2.weight': 'norms.1.weight',
    }
    decoder = {
        'self_attn.out_proj.bias': 'self_attn.attn.out_proj.bias',
        'multihead_attn.in_proj_bias': 'cross_attn.attn.in_proj_bias',
        'multihead_attn.out_proj.weight': 'cross_attn.attn.out_proj.weight',
        'norm3.bias': 'norms.2.bias',
        **{k: v for k, v in encoder.items() if 'attn' not in k},
    }
    for part, names in (('encoder', encoder), ('decoder', decoder)):
        prefix = f'transformer.{part}.layers.4.'
        pairs.update({prefix + k: f'head.{prefix}{v}' for k, v in names.items()})

    ours = convert_two_stage(res50)
    for theirs, name in pairs.items():
        assert torch.equal(ours[name], res50[theirs]), theirs


def test_loads_strictly(res50):
    """Keys and shapes fit a model with memory, and values arrive."""
    ours = convert_two_stage(res50)
    model = MODELS.build(infer_model(ours))
    model.load_state_dict(ours, strict=True)
    assert torch.equal(model.head.fc_cls.weight, res50['class_embed.weight'])


def test_pre_norm(res50):
    """A pre-norm encoder ends with a norm, as in DETR's code."""
    model = infer_model(convert_two_stage(res50))
    model['head']['transformer']['pre_norm'] = True
    for name in ('weight', 'bias'):
        res50[f'transformer.encoder.norm.{name}'] = torch.ones(256)
    with pytest.raises(CheckpointError, match='--config'):
        convert_two_stage(res50)
    ours = convert_two_stage(res50, model)
    assert 'head.transformer.encoder.post_norm.bias' in ours
    assert_same(revert_two_stage(ours, model), res50)


def test_wrapped_input(res50):
    plain = convert_two_stage(res50)
    prefixed = OrderedDict((f'module.{k}', v) for k, v in res50.items())
    assert_same(convert_two_stage(prefixed), plain)
    training = dict(epoch=3, state_dict=prefixed, perf=0.7, optimizer={})
    assert_same(convert_two_stage(training), plain)
    assert_same(revert_two_stage(dict(state_dict=plain)), res50)


def test_every_key_must_be_known(res50):
    res50['transformer.encoder.layers.0.gamma'] = torch.ones(1)
    res50['extra'] = torch.ones(1)
    with pytest.raises(CheckpointError, match=r'(?s)\(2\).*0\.gamma.*extra'):
        convert_two_stage(res50)


@pytest.mark.parametrize(
    'key, name',
    [
        (
            'transformer.decoder.layers.3.norm3.bias',
            'head.transformer.decoder.layers.3.norms.2.bias',
        ),
        ('backbone.0.body.layer2.1.bn1.running_mean', 'backbone.layer2.1.bn1.running_mean'),
        ('query_embed.weight', 'head.transformer.query_embedding.weight'),
        ('class_embed.bias', 'head.fc_cls.bias'),
        # a whole last block or layer: no gap in the keys shows it
        ('backbone.0.body.layer3.5.', 'backbone.layer3.5.conv1.weight'),
        ('transformer.encoder.layers.5.', 'head.transformer.encoder.layers.5.norms.1.bias'),
        ('transformer.decoder.layers.5.', 'head.transformer.decoder.layers.5.norms.2.bias'),
    ],
)
def test_every_parameter_must_be_filled(res50, key, name):
    for found in [k for k in res50 if k.startswith(key)]:
        del res50[found]
    with pytest.raises(CheckpointError) as error:
        convert_two_stage(res50)
    message = str(error.value)
    for part in ('missing (', f'  {name}', '6 decoder layers', '--config'):
        assert part in message
    assert 'another shape' not in message


def test_fewer_layers_with_config(res50):
    """Weights of a smaller model convert when its config is given."""
    model = infer_model(convert_two_stage(res50))
    for part in ('encoder', 'decoder'):
        model['head']['transformer'][f'num_{part}_layers'] = 5
    for key in [k for k in res50 if 'coder.layers.5.' in k]:
        del res50[key]
    ours = convert_two_stage(res50, model)
    assert_same(revert_two_stage(ours, model), res50)


def test_unknown_backbone(res50):
    other = {k: v for k, v in res50.items() if '.layer3.' not in k}
    with pytest.raises(CheckpointError, match='no backbone of a published model'):
        convert_two_stage(other)


def test_wrong_shape(res50):
    res50['kpt_embed.layers.2.bias'] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r'layers\.2\.bias \(3,\) instead of \(2,\)'):
        convert_two_stage(res50)


def test_sequential(manifests):
    with pytest.raises(CheckpointError, match='sequential.*Convert it as kind'):
        convert_two_stage(weights(manifests['prtr_sequential_res50']))


def test_wrong_direction(res50):
    with pytest.raises(CheckpointError, match='leave out --reverse'):
        revert_two_stage(res50)
    with pytest.raises(CheckpointError, match='use --reverse'):
        convert_two_stage(convert_two_stage(res50))


@pytest.mark.parametrize(
    'checkpoint', [[], dict(), dict(state_dict=None), dict(epoch=1, model='hrnet')]
)
def test_no_state_dict(checkpoint):
    with pytest.raises(CheckpointError, match='state_dict'):
        convert_two_stage(checkpoint)
