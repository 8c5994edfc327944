"""The benchmark measures what it says, and its plain PRTR computes what ours does."""

import copy
import json
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from prtr_plugin.apis import load_config

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = 'speed_benchmark/benchmark.py'
GPU_SCRIPT = 'speed_benchmark/gpu_benchmark.py'
FAST = ('--batch-size', 2, '--turns', 1, '--threads', 1, '--device', 'cpu')
OPTIONS = {
    'model.head.transformer.num_encoder_layers': 1,
    'model.head.transformer.num_decoder_layers': 2,
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.head.in_channels': 32,
}
pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture(scope='module')
def modules():
    """The modules of the benchmark, by name."""
    with pytest.MonkeyPatch.context() as patch:
        # new processes get this path, too
        patch.syspath_prepend(ROOT / 'projects' / 'speed_benchmark')
        names = ('benchmark', 'gpu_benchmark', 'plain_prtr', 'tasks', 'variants')
        yield SimpleNamespace(**{name: import_module(name) for name in names})


@pytest.fixture(scope='module')
def small_cfg(small_config):
    return load_config(small_config, OPTIONS)


@pytest.fixture(scope='module')
def result(modules, run_project, small_config, tmp_path_factory):
    """What the script writes about a PRTR in all modes and with all heads."""
    out = tmp_path_factory.mktemp('benchmark') / 'new' / 'result.json'
    with pytest.MonkeyPatch.context() as patch:
        # a process for each model takes long, and is tested on its own
        patch.setattr(
            modules.tasks,
            'peak_memory',
            lambda variant, *args: 30.0 if variant.mode == 'plain' else 20.0,
        )
        done = run_project(
            SCRIPT,
            small_config,
            *FAST,
            '--plain',
            '--fast',
            '--heads',
            'heatmap',
            'simcc',
            'rle',
            '--out',
            out,
            options=OPTIONS,
        )
    assert done.code == 0, done.error
    return json.loads(out.read_text())


@pytest.mark.slow
def test_times(result):
    assert result['environment']['threads'] == 1
    assert result['environment']['torch'] == torch.__version__
    rows = result['times']
    for task in ('inference', 'train'):
        # a PRTR in three modes, three other heads in two
        assert len([r for r in rows if r['task'] == task]) == 3 + 3 * 2
    for task in ('matching', 'read_out'):
        assert [r['mode'] for r in rows if r['task'] == task] == ['config', 'plain']
    for row in rows:
        assert row['seconds'] > 0 and row['runs'] > 0
        num_images = dict(matching=32, read_out=256).get(row['task'], 2)
        assert row['images_per_second'] * row['seconds'] == pytest.approx(num_images)
        if '(' in row['model']:
            assert row['ratio'] is None


@pytest.mark.slow
def test_ratios_of_a_run(result):
    for rows, value in ((result['times'], 'seconds'), (result['memory'], 'MiB')):
        plain = {row['task']: row[value] for row in rows if row['mode'] == 'plain'}
        for row in rows:
            if '(' not in row['model']:
                expected = plain[row['task']] / row[value]
                assert row['ratio'] == row['to_float32'] == pytest.approx(expected)
    assert {r['ratio'] for r in result['memory'] if r['mode'] == 'fast'} == {1.5, None}


def test_ratios(modules):
    """In the same type of numbers and in float32, of each model and task."""
    seconds = dict(plain=(8.0, 6.0), config=(4.0, 2.0))
    rows = [
        dict(model='a', task='train', mode=mode, dtype=dtype, seconds=value)
        for mode, values in seconds.items()
        for dtype, value in zip(('float32', 'bfloat16'), values)
    ]
    rows += [dict(rows[0], model='b', mode='config'), dict(rows[0], task='read_out', seconds=None)]
    modules.benchmark.add_ratios(rows, 'seconds')
    found = [(row['ratio'], row['to_float32']) for row in rows]
    nothing = (None, None)
    assert found == [(1, 1), (1, 8 / 6), (2, 2), (3, 4), nothing, nothing]


@pytest.mark.slow
def test_complexity(result, modules, small_cfg, mmpose_scope, monkeypatch):
    rows = {(r['model'], r['mode']): (r['Mparams'], r['GMACs']) for r in result['complexity']}
    (name,) = {model for model, _ in rows if '(' not in model}
    config, fast, plain = (rows[name, mode] for mode in ('config', 'fast', 'plain'))
    variant = modules.variants.Variant('name', 'config', small_cfg)
    params = variant.build(training=True).parameters()
    assert config[0] == fast[0] == plain[0] == sum(p.numel() for p in params) / 1e6
    # the plain one also runs the heads on the layer before the last one, and
    # ours projects positions on their own, once for the batch of two
    head = small_cfg.model.head
    queries, dims = head.num_queries, head.embed_dims
    heads = queries * dims * (head.out_channels + 1 + 2 * dims + 2) / 1e9
    assert plain[1] - heads < config[1] < 1.1 * plain[1]
    assert config[1] == fast[1]
    assert len({macs for (model, _), (_, macs) in rows.items() if '(' in model}) == 3
    # attention counts as much as its products do
    attention = pytest.importorskip('torch.nn.attention')
    with attention.sdpa_kernel(attention.SDPBackend.MATH):
        counted = modules.tasks.complexity(variant, 2, 'cpu')
    assert counted['GMACs'] == pytest.approx(config[1])


@pytest.mark.slow
def test_bfloat16(modules, run_project, small_config, tmp_path, capsys):
    out = tmp_path / 'result.json'
    args = ('--tasks', 'inference', 'train', '--plain', '--heads', 'rle', '--out', out)
    dtypes = ('float32', 'bfloat16')
    done = run_project(
        SCRIPT, small_config, *FAST, *args, '--dtype', *dtypes, '--profile', 3, options=OPTIONS
    )
    assert done.code == 0, done.error
    rows = json.loads(out.read_text())['times']
    assert [r['dtype'] for r in rows] == [*dtypes] * (2 * 3)
    plain = [r for r in rows if r['mode'] == 'plain' and r['task'] == 'train']
    assert plain[1]['ratio'] == 1
    assert plain[1]['to_float32'] == pytest.approx(plain[0]['seconds'] / plain[1]['seconds'])
    printed = capsys.readouterr().out
    assert f'Wrote {out}' in printed and 'Self CPU time total' in printed and 'aten::' in printed
    # the table of torch.utils.benchmark, and ours
    assert '[plain]' in printed and 'images_per_second' in printed


@pytest.mark.parametrize('name', ['heatmap', 'simcc', 'rle'])
def test_other_heads_put_out_float32(modules, small_cfg, mmpose_scope, name):
    """Else mmpose could not read them out."""
    (*_, variant) = modules.variants.make_variants(small_cfg, [name], False, False, None)
    assert variant.name.endswith(f'({name})')
    model = variant.build(training=False)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        outputs = model(torch.zeros(1, 3, 128, 96), None)
    for x in outputs if isinstance(outputs, tuple) else [outputs]:
        assert x.dtype == torch.float32


@pytest.fixture(scope='module', params=['post_norm', 'pre_norm', 'deformable'])
def pair(request, modules, small_cfg):
    """Variants of ours and the plain one."""
    cfg = copy.deepcopy(small_cfg)
    head = cfg.model.head
    head.transformer.pre_norm = request.param == 'pre_norm'
    if request.param == 'deformable':
        cfg.model.backbone.out_indices = (1, 2)
        head.in_channels = [16, 32]
        head.transformer.update(type='DeformablePRTRTransformer', num_feature_levels=3)
    return modules.variants.make_variants(cfg, [], False, True, None)


@pytest.fixture(scope='module')
def image():
    return torch.randn(4, 3, 128, 96, generator=torch.Generator().manual_seed(0))


def test_plain_weights_and_outputs(pair, image, mmpose_scope):
    ours, plain = (variant.build(training=False) for variant in pair)
    assert type(plain.head) is not type(ours.head)
    state = plain.state_dict()
    assert list(state) == list(ours.state_dict())
    assert all(torch.equal(state[key], value) for key, value in ours.state_dict().items())
    with torch.no_grad():
        for a, b in zip(ours(image, None), plain(image, None)):
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)
        for a, b in zip(*(m.head.forward_layers(m.extract_feat(image)) for m in (ours, plain))):
            assert len(b) == 2
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)


def test_plain_read_out(pair, image, modules, mmpose_scope):
    ours, plain = (variant.build(training=False) for variant in pair)
    with torch.no_grad():
        outputs = ours(image, None)
    # few conflicts, and many
    trained = modules.tasks.trained_outputs(1, 8, 20, 17, 0.1)
    for logits, coords in (tuple(x[0] for x in trained[:2]), outputs):
        mine = ours.head.decoder.batch_decode(logits, coords)
        theirs = plain.head.decoder.batch_decode(logits, coords)
        for a, b in zip(mine, theirs):
            assert len(a) == len(b) == len(logits)
            torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)


def test_plain_losses_and_gradients(pair, image, mmpose_scope):
    rng = torch.Generator().manual_seed(0)
    labels = torch.rand(4, 17, 2, generator=rng)
    weights = (torch.rand(4, 17, generator=rng) > 0.3).float()
    found = []
    for variant in pair:
        # deformable sampling has kinks: rounding must not move a point over one
        model = variant.build(training=True).eval().double()
        outputs = model.head.forward_layers(model.extract_feat(image.double()))
        losses = model.head.loss_by_feat(*outputs, labels, weights)
        losses.pop('acc_pose', None)
        sum(losses.values()).backward()
        grads = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        found.append((model.head, losses, grads, outputs))
    (head, losses, grads, outputs), (plain, plain_losses, plain_grads, _) = found
    assert list(losses) == list(plain_losses) and len(losses) == 4
    for key, value in losses.items():
        torch.testing.assert_close(plain_losses[key], value, rtol=1e-5, atol=1e-5)
    assert grads.keys() == plain_grads.keys()
    for key, value in grads.items():
        assert (plain_grads[key] - value).norm() <= 1e-5 * value.norm() + 1e-9, key

    for logits, coords in zip(*(x.detach().float() for x in outputs)):
        matches = head.assigner.assign(
            InstanceData(scores=logits, keypoints=coords), InstanceData(keypoints=labels)
        )
        for crop in zip(logits, coords, labels, matches):
            assert plain.match(*crop[:3]).tolist() == crop[3].tolist()


def test_plain_uses_unfused_attention(modules, small_cfg, image, mmpose_scope, monkeypatch):
    variants = modules.variants.make_variants(small_cfg, [], False, True, None)
    ours, plain = (variant.build(training=False) for variant in variants)

    def fail(*args, **kwargs):
        raise AssertionError('fused')

    monkeypatch.setattr('torch.nn.functional.scaled_dot_product_attention', fail)
    plain(image, None)
    with pytest.raises(AssertionError, match='fused'):
        ours(image, None)


def test_modes_compute_the_same(modules, small_cfg, mmpose_scope):
    """They only differ in speed."""
    variants = modules.variants.make_variants(small_cfg, [], True, True, None)
    assert [v.mode for v in variants] == ['config', 'fast', 'plain']
    joints, losses = [], []
    for variant in variants:
        people = modules.tasks.inference(variant, 2, 'cpu')('float32')
        joints.append(np.stack([image[0].keypoints for image in people]))
        step = modules.tasks.train(variant, 2, 'cpu')
        # the pipeline draws random numbers
        np.random.seed(0)
        losses.append(step('float32')['loss_kpt'].item())
    for other in joints[1:]:
        assert np.allclose(other, joints[0], atol=0.1)
    assert np.ptp(joints[0], axis=1).max() > 5
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-3)


def test_training_learns(modules, small_cfg, mmpose_scope):
    step = modules.tasks.train(modules.variants.Variant('a', 'fast', small_cfg), 2, 'cpu')
    losses = [step('float32')['loss'].item() for _ in range(15)]
    assert losses[-1] < losses[0]


def test_trained_outputs(modules):
    """The given share of crops has a conflict, also for the matching."""
    for share in (0, 0.25, 1):
        outputs = modules.tasks.trained_outputs(2, 8, 30, 17, share)
        logits, coords, labels = outputs
        assert logits.shape == (2, 8, 30, 18)
        assert coords.shape == (2, 8, 30, 2) and labels.shape == (8, 17, 2)
        for layer, xy in zip(logits[..., :17].softmax(-1).argmax(dim=2), coords):
            clean = [len(set(crop.tolist())) == 17 for crop in layer]
            assert clean.count(False) == share * 8
            near = xy.gather(1, layer[..., None].expand(-1, -1, 2)) - labels
            assert near.abs().max() < 0.06


def test_turns(modules):
    order = []

    def call(name):
        order.append(name)
        time.sleep(0.21)

    calls = {(name, 'float32'): lambda name=name: call(name) for name in 'ab'}
    measured = modules.tasks.measure_in_turns(calls, 'title', 2)
    # a run that does not count, and one that does
    assert order == list('aabbaabb')
    assert [m.task_spec.sub_label for m in measured] == ['a', 'b']
    for m in measured:
        assert len(m.times) == 2 and 0.21 <= m.median < 1


@pytest.mark.slow
def test_memory_of_a_process(modules, small_cfg, mmpose_scope):
    tasks, variant = modules.tasks, modules.variants.Variant('a', 'config', small_cfg)
    if tasks.resident_set('VmHWM') is None:
        pytest.skip('this system does not report the memory of a process')
    assert tasks.resident_set('VmHWM') >= tasks.resident_set('VmRSS') > 1
    peak = tasks.peak_memory(variant, tasks.train, 2, 'float32', 'cpu')
    num_params = sum(p.numel() for p in variant.build(training=True).parameters())
    # weights, gradients and two moments of each
    assert 4 * 4 * num_params / 2**20 < peak < 1000


def test_cascade(modules, run_project, cascade_config, tmp_path):
    """Against all queries, which is the published scheme."""
    out = tmp_path / 'result.json'
    tasks = ('--tasks', 'complexity', 'inference')
    done = run_project(SCRIPT, cascade_config, *FAST, *tasks, '--cascade', 3, 1, '--out', out)
    assert done.code == 0, done.error
    result = json.loads(out.read_text())
    for rows in (result['complexity'], result['times']):
        assert [r['mode'] for r in rows] == ['1 people', '3 people', 'all queries']
    macs = [r['GMACs'] for r in result['complexity']]
    # the same for each person
    assert macs[0] < macs[1] < macs[2]
    seconds = [r['seconds'] for r in result['times']]
    assert [r['ratio'] for r in result['times']] == pytest.approx([seconds[2] / s for s in seconds])


def test_people_of_a_cascade(modules, cascade_config, mmpose_scope):
    cfg = load_config(cascade_config)
    few, everybody = modules.variants.make_variants(cfg, [], False, False, [3])
    found = [modules.tasks.inference(v, 2, 'cpu')('float32') for v in (few, everybody)]
    for some, people in zip(*found):
        assert len(some) == 3 and len(people) == cfg.model.detector.num_queries
        for person, other in zip(some, people):
            assert np.allclose(person.bbox, other.bbox, atol=1e-2)


@pytest.mark.slow
def test_gpu_benchmark_on_the_cpu(modules, run_project, small_config, tmp_path):
    """Its latencies work there; TF32 does not exist, and nobody counts the memory."""
    out = tmp_path / 'result.json'
    sizes = ('--device', 'cpu', '--batch-sizes', 1, 2, '--seconds', 0.01, '--heads', '--out', out)
    done = run_project(GPU_SCRIPT, small_config, *sizes)
    assert (done.code, done.error) == (0, None)
    rows = json.loads(out.read_text())
    # three modes, of which each has two batches in two tasks and one for the backbone, in two types
    assert len(rows) == 3 * (2 + 2 + 1) * 2
    plain = {
        (r['task'], r['batch'], r['dtype']): r['seconds'] for r in rows if r['mode'] == 'plain'
    }
    for row in rows:
        assert row['runs'] >= 3 and 0 < row['seconds'] <= row['p99']
        assert row['images_per_second'] == pytest.approx(row['batch'] / row['seconds'])
        expected = plain[row['task'], row['batch'], row['dtype']] / row['seconds']
        assert row['ratio'] == pytest.approx(expected)
        assert row['MiB'] is None


def test_gpu_benchmark_ends_in_time(modules, run_project, small_config, capsys):
    args = ('--device', 'cpu', '--minutes', 0, '--heads', 'rle')
    assert run_project(GPU_SCRIPT, small_config, *args).code == 0
    assert capsys.readouterr().out.count('left out') == (3 + 2) * 3


@pytest.mark.skipif(torch.cuda.is_available(), reason='has a GPU')
@pytest.mark.parametrize(
    'args, message',
    [
        ((), '--device cuda: there is no GPU here. --device cpu measures latencies'),
        (('--device', 'nothing'), '--device nothing does not work'),
        (('--device', 'cpu', '--dtype', 'tf32'), '--dtype tf32 needs a GPU, but --device is cpu'),
        (('--device', 'cpu', '--minutes', -1), '--minutes must be 0 or more, but is -1.0'),
        (('--device', 'cpu', '--seconds', 'nan'), '--seconds must be 0 or more, but is nan'),
    ],
)
def test_gpu_benchmark_without_a_gpu(modules, run_project, capsys, args, message):
    assert run_project(GPU_SCRIPT, *args).code == 2
    assert message in capsys.readouterr().err


def test_time_of_runs(modules):
    calls = []
    times = modules.gpu_benchmark.time_runs(lambda: calls.append(0), torch.device('cpu'), 0)
    assert len(times) == 3 and len(calls) == 6


def test_precision(modules):
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    for dtype, expected in (('tf32', (True, 'high')), ('bfloat16', (False, 'highest'))):
        with modules.gpu_benchmark.precision(dtype):
            found = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
        assert found == expected
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


def test_any_estimator(modules, run_project, cascade_config, tmp_path):
    """A cascade, too, in the modes that it has."""
    args = ('--tasks', 'train', 'matching', '--fast')
    assert run_project(SCRIPT, cascade_config, *FAST, *args).code == 0


def test_switches_of_the_config(modules, small_cfg, mmpose_scope, monkeypatch):
    calls = []
    monkeypatch.setattr(
        modules.variants, 'turn_on_efficient_conv_bn_eval', lambda model, names: calls.append(names)
    )
    cfg = copy.deepcopy(small_cfg)
    cfg.efficient_conv_bn_eval = ['backbone']
    for config, num_calls in ((small_cfg, 1), (cfg, 2)):
        for variant in modules.variants.make_variants(config, [], True, True, None):
            variant.build(training=True)
        # not the plain one
        assert calls == [['backbone']] * num_calls
        calls.clear()


def test_rle_pools_after_a_neck(modules, small_cfg, mmpose_scope):
    cfg = copy.deepcopy(small_cfg)
    cfg.model.neck = ConfigDict(
        type='mmdet.ChannelMapper', in_channels=[32], out_channels=16, kernel_size=1, num_outs=1
    )
    cfg.model.head.in_channels = 16
    (_, rle) = modules.variants.make_variants(cfg, ['rle'], False, False, None)
    assert 'loss_kpt' in modules.tasks.train(rle, 2, 'cpu')('float32')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('--batch-size', 0), 'must be at least 1, but is 0'),
        (('--turns', -1), 'must be at least 1'),
        (('--cascade', 0), 'must be at least 1'),
        (('--cascade', '--plain'), '--cascade cannot be combined with --plain'),
        (('--tasks', 'train', 'fly'), "'fly'"),
        (('--conflicts', 2), 'must be in [0, 1], but is 2'),
        (('--device', 'nothing'), '--device nothing does not work'),
        (('--heads', 'none'), "'none'"),
        (('--dtype', 'int8'), "'int8'"),
    ],
)
def test_bad_arguments(run_project, modules, small_config, capsys, arguments, message):
    assert run_project(SCRIPT, small_config, *arguments).code == 2
    assert message in capsys.readouterr().err


def test_impossible_measurements(run_project, modules, small_config, cascade_config, tmp_path):
    out = tmp_path / 'result.json'
    rle = str(ROOT / 'projects/head_benchmark/configs/rle.py')
    for text, config, args in (
        ('nowhere.py', 'nowhere.py', []),
        ('cannot take other heads: it is a PRTRCascade', cascade_config, ['--heads', 'rle']),
        ('has no plain version: its head is a RLEHead', rle, ['--plain']),
        ('has no PRTRCascade, but a TopdownPoseEstimator', small_config, ['--cascade']),
        ('--cascade 1000 is more than the', cascade_config, ['--cascade', 1000]),
    ):
        done = run_project(SCRIPT, config, *FAST, *args, '--out', out)
        assert done.error is None
        assert done.code.startswith('Error: ') and text in done.code, done.code
        assert done.code.count('\n') == 0 and not out.exists()


def test_random_weights_depend_on_names(modules):
    """Not on the order in which the parts are built."""
    first = torch.nn.ModuleDict(dict(a=torch.nn.Linear(2, 3), b=torch.nn.Conv2d(2, 2, 1)))
    second = torch.nn.ModuleDict(dict(b=torch.nn.Conv2d(2, 2, 1), a=torch.nn.Linear(2, 3)))
    for model in (first, second):
        modules.variants.randomize(model)
    for key, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key
