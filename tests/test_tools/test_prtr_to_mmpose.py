"""Tests of the converter between the authors' files and mmpose's layout.

``tests/data/manifests.json.gz`` holds keys and shapes of the authors'
checkpoints. Values are one number per key, stored without memory.
"""

import copy
import gzip
import json
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

# Blocks of stages 3 and 2 of the deeper ResNets (ResNet-50 has 6 and 4).
DEEPER = {101: dict(layer3=23), 152: dict(layer3=36, layer2=8)}


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('model_converters/prtr_to_mmpose.py')


@pytest.fixture(scope='module')
def manifests(data_dir):
    with gzip.open(data_dir / 'manifests.json.gz', 'rt') as file:
        return {
            name: {key: tuple(shape) for key, shape in params}
            for name, params in json.load(file).items()
        }


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
def test_resnet_round_trip(tool, manifests, depth, num_keypoints, num_params):
    shapes = deeper(manifests['prtr_res50_384x288_coco'], depth, num_keypoints)
    theirs = weights(shapes)
    ours = tool.convert_state_dict(theirs)
    model = tool.infer_model(ours)
    assert model['backbone']['depth'] == depth
    assert model['head']['out_channels'] == num_keypoints
    counters = [k for k in ours if k.endswith('num_batches_tracked')]
    assert len(ours) == len(theirs) + len(counters)
    total = tool.summarize(ours).splitlines()[-1].split()
    assert total[:3] == ['total', f'{len(ours):,}', f'{num_params:,}']
    assert_same(tool.revert_state_dict(ours), theirs)


@pytest.mark.parametrize(
    'depth, num_keypoints, num_params',
    [
        (50, 17, 46_251_734 + 53_120),
        (101, 17, 46_251_734 + 18_939_904 + 105_344),
        (50, 3, 46_251_734 - 14 * 257 + 53_120),
    ],
)
def test_deformable_round_trip(tool, manifests, depth, num_keypoints, num_params):
    theirs = weights(deeper(manifests['deform_prtr_res50_384x288_coco'], depth, num_keypoints))
    ours = tool.convert_state_dict(theirs)
    model = tool.infer_model(ours)
    assert model['backbone']['depth'] == depth
    assert model['head']['transformer']['type'] == 'DeformablePRTRTransformer'
    assert model['head']['out_channels'] == num_keypoints
    counters = [k for k in ours if k.endswith('num_batches_tracked')]
    # 5 copies of 8 parameters
    assert len(ours) == len(theirs) + len(counters) - 5 * 8
    total = tool.summarize(ours).splitlines()[-1].split()
    assert total[:3] == ['total', f'{len(ours):,}', f'{num_params:,}']
    back = tool.revert_state_dict(ours)
    assert_same(back, theirs)


def test_deformable_norms(tool, deformable):
    """Those of the decoder are counted in another order."""
    ours = tool.convert_state_dict(deformable)
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
def test_deformable_must_be_complete(tool, deformable, key, name):
    for found in [k for k in deformable if k.startswith(key)]:
        del deformable[found]
    with pytest.raises(ValueError, match=r'(?s)missing \(') as error:
        tool.convert_state_dict(deformable)
    assert f'  {name}' in str(error.value)


def test_deformable_unknown_key(tool, deformable):
    deformable['transformer.decoder.layers.0.cross_attn.gamma'] = torch.ones(1)
    deformable['input_proj.4.0.bias'] = torch.ones(256)
    with pytest.raises(ValueError, match=r'(?s)unexpected \(2\).*gamma'):
        tool.convert_state_dict(deformable)


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
def test_deformable_copies_must_be_the_same(tool, deformable, change):
    """Else the decoder layers would not share their outputs."""
    change(deformable)
    with pytest.raises(ValueError, match=r'(?s)one copy.*kpt_embed\.4\.layers\.1\.bias'):
        tool.convert_state_dict(deformable)


def test_hrnet_round_trip(tool, manifests):
    theirs = weights(manifests['prtr_hrnet_w32_384x288_coco'])
    ours = tool.convert_state_dict(theirs)
    assert len(ours) == len(theirs)
    total = tool.summarize(ours).splitlines()[-1].split()
    assert total == ['total', f'{len(ours):,}', '57,234,004', '74,949']
    assert torch.equal(
        ours['neck.incre_modules.2.0.downsample.0.weight'],
        theirs['backbone.0.body.incre_modules.2.0.downsample.0.weight'],
    )
    assert torch.equal(
        ours['backbone.stage3.1.branches.2.0.conv1.weight'],
        theirs['backbone.0.body.stage3.1.branches.2.0.conv1.weight'],
    )
    assert_same(tool.revert_state_dict(ours), theirs)


def test_meaning_of_keys(tool, res50):
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

    ours = tool.convert_state_dict(res50)
    for theirs, name in pairs.items():
        assert torch.equal(ours[name], res50[theirs]), theirs


def test_loads_strictly(tool, res50):
    """Keys and shapes fit a model with memory, and values arrive."""
    ours = tool.convert_state_dict(res50)
    model = MODELS.build(tool.infer_model(ours))
    model.load_state_dict(ours, strict=True)
    assert torch.equal(model.head.fc_cls.weight, res50['class_embed.weight'])


def test_pre_norm(tool, res50):
    """A pre-norm encoder ends with a norm, as in DETR's code."""
    model = tool.infer_model(tool.convert_state_dict(res50))
    model['head']['transformer']['pre_norm'] = True
    for name in ('weight', 'bias'):
        res50[f'transformer.encoder.norm.{name}'] = torch.ones(256)
    with pytest.raises(ValueError, match='--config'):
        tool.convert_state_dict(res50)
    ours = tool.convert_state_dict(res50, model)
    assert 'head.transformer.encoder.post_norm.bias' in ours
    assert_same(tool.revert_state_dict(ours, model), res50)


def test_wrapped_input(tool, res50):
    plain = tool.convert_state_dict(res50)
    prefixed = OrderedDict((f'module.{k}', v) for k, v in res50.items())
    assert_same(tool.convert_state_dict(prefixed), plain)
    training = dict(epoch=3, state_dict=prefixed, perf=0.7, optimizer={})
    assert_same(tool.convert_state_dict(training), plain)
    assert_same(tool.revert_state_dict(dict(state_dict=plain)), res50)


def test_every_key_must_be_known(tool, res50):
    res50['transformer.encoder.layers.0.gamma'] = torch.ones(1)
    res50['extra'] = torch.ones(1)
    with pytest.raises(ValueError, match=r'(?s)\(2\).*0\.gamma.*extra'):
        tool.convert_state_dict(res50)


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
def test_every_parameter_must_be_filled(tool, res50, key, name):
    for found in [k for k in res50 if k.startswith(key)]:
        del res50[found]
    with pytest.raises(ValueError) as error:
        tool.convert_state_dict(res50)
    message = str(error.value)
    for part in ('missing (', f'  {name}', '6 decoder layers', '--config'):
        assert part in message
    assert 'wrong shape' not in message


def test_fewer_layers_with_config(tool, res50):
    """Weights of a smaller model convert when its config is given."""
    model = tool.infer_model(tool.convert_state_dict(res50))
    for part in ('encoder', 'decoder'):
        model['head']['transformer'][f'num_{part}_layers'] = 5
    for key in [k for k in res50 if 'coder.layers.5.' in k]:
        del res50[key]
    ours = tool.convert_state_dict(res50, model)
    assert_same(tool.revert_state_dict(ours, model), res50)


def test_unknown_backbone(tool, res50):
    other = {k: v for k, v in res50.items() if '.layer3.' not in k}
    with pytest.raises(ValueError, match='no backbone of a published model'):
        tool.convert_state_dict(other)


def test_wrong_shape(tool, res50):
    res50['kpt_embed.layers.2.bias'] = torch.zeros(3)
    with pytest.raises(ValueError, match=r'layers\.2\.bias: file \(3,\)'):
        tool.convert_state_dict(res50)


def test_sequential(tool, manifests):
    with pytest.raises(ValueError, match='sequential.*not supported.*Use'):
        tool.convert_state_dict(weights(manifests['prtr_sequential_res50']))


def test_wrong_direction(tool, res50):
    with pytest.raises(ValueError, match='leave out --reverse'):
        tool.revert_state_dict(res50)
    with pytest.raises(ValueError, match='use --reverse'):
        tool.convert_state_dict(tool.convert_state_dict(res50))


@pytest.mark.parametrize(
    'checkpoint', [[], dict(), dict(state_dict=None), dict(epoch=1, model='hrnet')]
)
def test_no_state_dict(tool, checkpoint):
    with pytest.raises(ValueError, match='state_dict'):
        tool.convert_state_dict(checkpoint)


def run(tool, monkeypatch, *args):
    monkeypatch.setattr('sys.argv', ['prtr_to_mmpose.py', *map(str, args)])
    tool.main()


def test_command_line(tool, res50, tmp_path, monkeypatch, capsys):
    source, there = tmp_path / 'theirs.pth', tmp_path / 'new' / 'ours.pth'
    torch.save(dict(state_dict=res50), source)
    run(tool, monkeypatch, source, there)
    printed = capsys.readouterr().out
    assert re.search(r'head\.transformer\.encoder +72 +7,890,432', printed)
    assert re.search(r'total +511 +41,558,356', printed)
    # nothing but the result is left behind
    assert [p.name for p in there.parent.iterdir()] == ['ours.pth']
    checkpoint = torch.load(there, weights_only=True)
    assert set(checkpoint) == {'meta', 'state_dict'}
    assert all(map(torch.is_tensor, checkpoint['state_dict'].values()))

    back = tmp_path / 'back.pth'
    run(tool, monkeypatch, '--reverse', there, back)
    assert_same(torch.load(back, weights_only=True), res50)


def test_config_of_another_variant(tool, res50, tmp_path, monkeypatch):
    source, out = tmp_path / 'theirs.pth', tmp_path / 'ours.pth'
    torch.save(res50, source)
    model = tool.infer_model(tool.convert_state_dict(res50))
    model['data_preprocessor'] = dict(type='PoseDataPreprocessor', mean=[1, 2, 3], std=[1, 2, 3])
    other = copy.deepcopy(model)
    other['head']['num_queries'] = 50
    for name, cfg in (('same', model), ('other', other)):
        Config(dict(model=cfg)).dump(tmp_path / f'{name}.py')
    with pytest.raises(
        SystemExit,
        match=r'query_embedding\.weight: file \('
        r'100, 256\), model \(50, 256\)',
    ):
        run(tool, monkeypatch, source, out, '--config', tmp_path / 'other.py')
    assert not out.exists()
    run(tool, monkeypatch, source, out, '--config', tmp_path / 'same.py')
    assert out.exists()


def test_training_checkpoint_needs_trust(tool, res50, tmp_path, monkeypatch):
    """The authors' training stores the AP as a NumPy number."""
    source, out = tmp_path / 'checkpoint.pth', tmp_path / 'out.pth'
    torch.save(dict(state_dict=res50, perf=np.float64(0.7)), source)
    with pytest.raises(SystemExit, match='--trust'):
        run(tool, monkeypatch, source, out)
    assert not out.exists()
    run(tool, monkeypatch, '--trust', source, out)
    assert torch.load(out, weights_only=True)


def test_file_errors(tool, tmp_path, monkeypatch):
    out = tmp_path / 'out.pth'
    with pytest.raises(SystemExit, match='no file'):
        run(tool, monkeypatch, tmp_path / 'none.pth', out)
    damaged = tmp_path / 'damaged.pth'
    damaged.write_bytes(b'PK\x03\x04 cut')
    with pytest.raises(SystemExit, match='damaged.pth'):
        run(tool, monkeypatch, damaged, out)
    with pytest.raises(SystemExit, match='must not be IN'):
        run(tool, monkeypatch, damaged, damaged)
    assert not out.exists()


def test_no_half_written_file(tool, tmp_path, monkeypatch):

    def save(_, path):
        with open(path, 'wb') as file:
            file.write(b'half')
        raise OSError('disk full')

    out = tmp_path / 'out.pth'
    out.write_bytes(b'old')
    monkeypatch.setattr(torch, 'save', save)
    with pytest.raises(OSError, match='disk full'):
        tool.save_checkpoint({}, str(out))
    assert out.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['out.pth']
