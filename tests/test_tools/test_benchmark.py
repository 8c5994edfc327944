import copy
import json
import time

import pytest
import torch
from mmengine.config import Config

from prtr_plugin.apis import load_config

FOLDER = 'analysis_tools'
SCRIPT = f'{FOLDER}/benchmark.py'
SMALL = ('--batch-size', 2, '--repeats', 2, '--threads', 1)
OPTIONS = {
    'model.head.transformer.num_encoder_layers': 1,
    'model.head.transformer.num_decoder_layers': 2,
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.head.in_channels': 32,
}


@pytest.fixture(scope='module')
def small_cfg(small_config):
    return load_config(small_config, OPTIONS)


@pytest.fixture(scope='module')
def cases(load_tool):
    return load_tool(f'{FOLDER}/benchmark_cases.py')


@pytest.fixture(scope='module')
def tasks(load_tool):
    return load_tool(f'{FOLDER}/benchmark_tasks.py')


@pytest.fixture(scope='module')
def result(run_tool, load_tool, small_config, tmp_path_factory):
    """What the script writes for everything at once."""
    load_tool(SCRIPT)  # so that the files beside it are known
    out = tmp_path_factory.mktemp('benchmark') / 'new'
    with pytest.MonkeyPatch.context() as patch:
        # a process for each model takes long, and is tested on its own
        patch.setattr('memory_utils.memory_in_new_process',
                      lambda *args: 10 if 'plain' in args[1] else 5)
        patch.setattr('benchmark_scaling.BATCH_SIZES', (1, 2))
        patch.setattr('benchmark_scaling.MATCHING', ((1, 2), (2, 2)))
        patch.setattr('benchmark_scaling.READ_OUT', ((3, 20), (17, 30)))
        done = run_tool(
            SCRIPT, small_config, *SMALL, '--plain', '--heads', 'all',
            '--dtype', 'float32', 'bfloat16', '--scaling', '--out', out,
            options=OPTIONS)
    assert done.code == 0, done.error
    return json.loads((out / 'benchmark.json').read_text()), out


def rows_of(rows, **columns):
    return [r for r in rows if all(r[k] == v for k, v in columns.items())]


def test_environment(result):
    env = result[0]['environment']
    assert env['threads'] == 1 and env['torch'] == torch.__version__
    assert env['batch_size'] == env['repeats'] == 2
    assert env['device']


def test_times(result):
    rows = result[0]['times']
    # PRTR in three modes, three other heads in two, each in two types
    assert len(rows_of(rows, task='inference')) == (3 + 3 * 2) * 2
    assert len(rows_of(rows, task='train')) == (3 + 3 * 2) * 2
    assert [r['mode'] for r in rows_of(rows, task='read_out')] == [
        'config', 'plain']  # yapf: disable
    for row in rows:
        parts = {
            'inference': {'pipeline', 'forward', 'read_out', 'other'},
            'train': {
                'data', 'forward', 'loss', 'backward', 'optimizer'
            },
            'read_out': {'read_out'},
            'matching_loss': {'loss'},
        }[row['task']]
        if row['task'] in ('train', 'matching_loss') and '(' not in row[
                'name']:
            parts = parts | {'matching'}
        assert set(row['parts']) == parts, row
        for times in (row['total'], *row['parts'].values()):
            assert (0 < times['min'] <= times['q1'] <= times['median'] <=
                    times['q3'] <= times['max'])
        assert row['images_per_second'] * row['total']['median'] == \
            pytest.approx(row['images'])


def test_models(result, small_cfg, cases):
    models = result[0]['models']
    config, fast, plain = [m for m in models if '(' not in m['name']]
    model = cases.Variant('name', 'config', small_cfg).build(training=True)
    assert config['params'] == plain['params'] == sum(
        p.numel() for p in model.parameters())
    assert fast['params'] < config['params']  # without batch norms
    # the same network, whose fused attention is counted; the plain one also
    # runs the heads on the level before the last one
    head = small_cfg.model.head
    queries, dims = head.num_queries, head.embed_dims
    heads = queries * dims * (head.out_channels + 1 + 2 * dims + 2)
    # and ours projects positions on their own, once for the batch of two
    assert plain['macs'] - heads < config['macs'] < 1.1 * plain['macs']
    names = {m['name'] for m in models}
    assert [n[n.index('('):] for n in sorted(names) if '(' in n] == [
        '(heatmap)', '(rle)', '(simcc)']  # yapf: disable


def test_ratios(result, load_tool):
    ratios = result[0]['ratios']
    assert [(r['quantity'], r['dtype']) for r in ratios] == [
        ('inference', 'float32'), ('inference', 'bfloat16'),
        ('train', 'float32'), ('train', 'bfloat16'),
        ('read_out', 'float32'), ('matching_loss', 'float32'),
        ('training memory', 'float32'), ('training memory', 'bfloat16')
    ]  # yapf: disable
    assert [r['same'] for r in ratios[-2:]] == [0.5, 0.5]

    def time(task, mode, dtype, seconds, read_out=0):
        return dict(
            task=task, name='a', mode=mode, dtype=dtype,
            total=dict(median=9 * seconds),
            parts=dict(forward=dict(median=seconds - read_out),
                       read_out=dict(median=read_out)))  # yapf: disable

    rows = load_tool(SCRIPT).ratios(
        dict(
            times=[
                time('inference', 'config', 'float32', 5),
                time('inference', 'config', 'bfloat16', 5),
                time('inference', 'fast', 'float32', 4, 1),
                time('inference', 'fast', 'bfloat16', 2),
                time('inference', 'plain', 'float32', 8, 3),
                time('inference', 'plain', 'bfloat16', 6),
                time('read_out', 'config', 'float32', 1),
                time('read_out', 'plain', 'float32', 10),
            ],
            memory=[
                dict(task='train', name='a', mode=mode, dtype='bfloat16',
                     bytes=value)
                for mode, value in (('config', 100), ('fast', 60),
                                    ('plain', 80))
            ]))  # yapf: disable
    assert [(r['float32'], r['same']) for r in rows] == [
        (2, 2), (4, 3), (10, 10), (None, 0.75)]  # yapf: disable


def test_differences(result):
    rows = result[0]['differences']
    assert [r['between'] for r in rows] == [
        f'config float32 and {other}'
        for other in ('config bfloat16', 'fast float32', 'fast bfloat16',
                      'plain float32', 'plain bfloat16')
    ]
    for row in rows:
        assert row['pixels'] < (1e-2 if 'and fast float32' in row['between']
                                or 'and plain float32' in row['between'] else
                                20)
        # else they would show nothing
        assert row['spread'] > 0.1


def test_scaling(result):
    scaling, = result[0]['scaling'].values()
    assert [r['batch_size'] for r in scaling['batch']] == [1, 2]
    assert [(r['levels'], r['crops']) for r in scaling['matching']] == [
        (1, 2), (2, 2)]  # yapf: disable
    assert [(r['joints'], r['queries'], r['plain'])
            for r in scaling['read_out']] == [(3, 20, False), (3, 20, True),
                                              (17, 30, False), (17, 30, True)]
    row = scaling['batch'][1]
    assert row['per_crop'] * 2 == row['seconds']['median']


def test_profile(run_tool, load_tool, small_config, tmp_path, capsys,
                 monkeypatch):
    load_tool(SCRIPT)
    monkeypatch.setattr('benchmark_profile.matrix_rates',
                        lambda *args: dict(product=1e9, convolution=2e9))
    done = run_tool(
        SCRIPT, small_config, *SMALL, '--tasks', 'inference,train',
        '--profile', 3, '--out', tmp_path, options=OPTIONS)
    assert done.code == 0, done.error
    result = json.loads((tmp_path / 'benchmark.json').read_text())
    assert [r['task'] for r in result['profiles']] == ['inference', 'train']
    for row in result['profiles']:
        assert 'aten::' in row['table'] and row['macs'] > 0
        assert row['floor'] == row['macs'] / 2e9
    # a step of training does more than a forward pass
    assert result['profiles'][1]['macs'] > 2 * result['profiles'][0]['macs']
    assert '2 GMAC/s (convolution)' in capsys.readouterr().out
    assert not result['ratios'] and not result['scaling']


def test_matrix_rates(load_tool):
    tool = load_tool(f'{FOLDER}/benchmark_profile.py')
    rates = tool.matrix_rates(torch.float32, torch.device('cpu'))
    assert set(rates) == {'product', 'convolution'}
    assert min(rates.values()) > 0
    a = torch.ones(3, 4)
    assert tool.count_macs(lambda: a @ a.T) == 3 * 4 * 3


def test_pictures(result):
    for name in ('benchmark.png', 'scaling.png'):
        assert (result[1] / name).read_bytes()[:4] == b'\x89PNG'


def test_text(result, load_tool, capsys):
    load_tool(f'{FOLDER}/benchmark_report.py').print_tables(result[0])
    text = capsys.readouterr().out
    for word in ('threads: 1', 'torch', 'Peak memory', 'read_out', 'images/s',
                 '0.50x', '(heatmap)', 'ms per crop'):
        assert word in text


# ---------------------------------------------------------------- the plain


@pytest.fixture(scope='module', params=['post_norm', 'pre_norm', 'deformable'])
def pair(request, small_cfg, cases):
    """A model and its plain version, and an input."""
    cfg = copy.deepcopy(small_cfg)
    cfg.model.head.transformer.pre_norm = request.param == 'pre_norm'
    if request.param == 'deformable':
        cfg.model.backbone.out_indices = (1, 2)
        cfg.model.head.update(
            type='DeformablePRTRHead', in_channels=[16, 32],
            num_feature_levels=3)
    ours, plain = (
        cases.Variant('name', mode, cfg).build(training=False)
        for mode in ('config', 'plain'))
    # they take the same weights
    plain.load_state_dict(ours.state_dict())
    width, height = cases.input_size(cfg)
    image = torch.randn(
        4, 3, height, width, generator=torch.Generator().manual_seed(0))
    return ours, plain, image


def test_plain_outputs(pair):
    ours, plain, image = pair
    with torch.no_grad():
        for a, b in zip(ours(image, None), plain(image, None)):
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)
        for a, b in zip(*(m.head.forward_levels(m.extract_feat(image))
                          for m in (ours, plain))):
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)


def test_plain_read_out(pair, tasks):
    ours, plain, image = pair
    with torch.no_grad():
        outputs = ours(image, None)
    # few conflicts, and many
    for logits, coords in (tuple(
            x[0] for x in tasks.trained_outputs(1, 8, 20, 17)[:2]), outputs):
        mine = ours.head.decoder.batch_decode(logits, coords)
        theirs = plain.head.decoder.batch_decode(logits, coords)
        for a, b in zip(mine, theirs):
            assert len(a) == len(b) == len(logits)
            torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)


def test_plain_losses_and_gradients(pair):
    # deformable sampling has kinks: rounding must not move a point over one
    ours, plain, image = (copy.deepcopy(x).double() for x in pair)
    rng = torch.Generator().manual_seed(0)
    labels = torch.rand(4, 17, 2, generator=rng)
    weights = (torch.rand(4, 17, generator=rng) > 0.3).float()
    found = []
    for model in (ours, plain):
        outputs = model.head.forward_levels(model.extract_feat(image))
        losses = model.head.loss_by_feat(*outputs, labels, weights)
        losses.pop('acc_pose', None)
        model.zero_grad()
        sum(losses.values()).backward()
        grads = {k: p.grad for k, p in model.named_parameters()}
        found.append((losses, grads, outputs))
    (losses, grads, outputs), (plain_losses, plain_grads, _) = found
    assert list(losses) == list(plain_losses) and len(losses) == 4
    for key, value in losses.items():
        torch.testing.assert_close(
            plain_losses[key], value, rtol=1e-5, atol=1e-5)
    for key, value in grads.items():
        if value is not None:
            error = (plain_grads[key] - value).norm()
            assert error <= 1e-5 * value.norm() + 1e-9, key

    logits, coords = (x.detach().float() for x in outputs)
    matches, _ = ours.head._match(logits, coords, labels)
    for level, expected in enumerate(matches):
        found = plain.head.match(logits[level], coords[level], labels)
        assert [m.tolist() for m in found] == expected.tolist()


def test_plain_uses_unfused_attention(pair, monkeypatch):
    ours, plain, image = pair

    def fail(*args, **kwargs):
        raise AssertionError('fused')

    name = 'torch.nn.functional.scaled_dot_product_attention'
    monkeypatch.setattr(name, fail)
    plain(image, None)
    with pytest.raises(AssertionError, match='fused'):
        ours(image, None)


@pytest.mark.parametrize('training', [True, False])
def test_modes_compute_the_same(cases, tasks, small_cfg, training):
    """They only differ in speed."""
    found = []
    for mode in cases.MODES:
        variant = cases.Variant('name', mode, small_cfg)
        # the pipeline of testing has no random numbers
        case = tasks.Inference(variant, 2, torch.device('cpu'))
        case.model = variant.build(training)
        if training:
            rng = torch.Generator().manual_seed(0)
            losses = case.model.head.loss_by_feat(
                *case.model.head.forward_levels(
                    case.model.extract_feat(case.batch()['inputs'])),
                torch.rand(2, 17, 2, generator=rng), torch.ones(2, 17))
            found.append([v for k, v in losses.items() if 'loss' in k])
        else:
            found.append(case.outputs())
    for other in found[1:]:
        assert len(other) == len(found[0]) > 1
        for a, b in zip(other, found[0]):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_only_prtr_has_a_plain_version(load_tool, mmpose_scope):
    plain = load_tool(f'{FOLDER}/benchmark_plain.py')
    with pytest.raises(ValueError, match='PRTRHead'):
        plain.make_plain(torch.nn.Linear(1, 1))


# ---------------------------------------------------------------- the parts


def test_stopwatch(tasks, monkeypatch):
    """What runs in an inner section does not count for the outer one."""
    now = [0]
    monkeypatch.setattr(time, 'perf_counter', lambda: now[0])
    watch = tasks.Stopwatch(torch.device('cpu'))

    class Model:

        def step(self, seconds):
            now[0] += seconds
            return seconds

    model = Model()
    watch.watch(model, 'step', 'inner')
    with watch.section('outer'):
        now[0] += 1
        assert model.step(10) == 10
        with watch.section('other'):
            now[0] += 100
            model.step(20)
        now[0] += 2
    assert watch.pop() == dict(outer=3, inner=30, other=100)
    assert watch.pop() == {}


def test_interleave(tasks):
    """In turns, and the first one does not count."""
    order = []

    def call(name):
        order.append(name)
        return dict(part=len(order))

    times = tasks.interleave({n: (lambda n=n: call(n)) for n in 'ab'}, 2)
    assert order == list('ababab')
    assert times == dict(a=dict(part=[3, 5]), b=dict(part=[4, 6]))
    assert tasks.summarize([1, 2, 3, 4, 9]) == dict(
        median=3, q1=2, q3=4, min=1, max=9)


def test_trained_outputs(tasks):
    """The given share of crops has a conflict."""
    for share in (0, 0.25, 1):
        logits, coords, labels = tasks.trained_outputs(2, 8, 30, 17, share)
        assert logits.shape == (2, 8, 30, 18)
        assert coords.shape == (2, 8, 30, 2) and labels.shape == (8, 17, 2)
        best = logits[..., :17].softmax(-1).argmax(dim=2)
        for level in best:
            clean = [len(set(crop.tolist())) == 17 for crop in level]
            assert clean.count(False) == share * 8


@pytest.mark.parametrize('mode', ['config', 'fast', 'plain'])
def test_peak_memory(tasks, cases, small_cfg, mode):
    variant = cases.Variant('name', mode, small_cfg)
    peak = tasks.peak_memory(variant, 'train', 2, torch.float32,
                             torch.device('cpu'))
    assert peak is None or peak >= 0


def test_checkpoint(cases, small_cfg, tmp_path):
    """Real weights; another head has none."""
    path = str(tmp_path / 'weights.pth')
    model = cases.Variant('name', 'config', small_cfg).build(training=True)
    with torch.no_grad():
        for param in model.parameters():
            param.add_(1)
    torch.save(dict(state_dict=model.state_dict()), path)
    for variant in cases.make_variants({'name': small_cfg}, ['rle'],
                                       ['config', 'plain'], False, path):
        loaded = variant.build(training=False).state_dict()
        same = [
            torch.equal(loaded[k], v) for k, v in model.state_dict().items()
            if k in loaded
        ]
        assert all(same) == (variant.name == 'name')


def test_memory_of_a_process(run_tool, small_config, capsys):
    """What the processes for the memory are told and print."""
    name = small_config.split('/')[-1][:-3]
    done = run_tool(
        SCRIPT, small_config, *SMALL, '--fast', '--memory-of',
        f'{name} [fast]', 'inference', 'bfloat16', options=OPTIONS)
    assert done.code == 0, done.error
    json.loads(capsys.readouterr().out.splitlines()[-1])


def test_cascade(run_tool, cascade_config, tmp_path):
    """Any pose estimator can be measured."""
    done = run_tool(
        SCRIPT, cascade_config, *SMALL, '--plain', '--tasks',
        'complexity,inference,train', '--out', tmp_path)
    assert done.code == 0, done.error
    rows = json.loads((tmp_path / 'benchmark.json').read_text())['times']
    assert {r['mode'] for r in rows} == {'config', 'fast', 'plain'}
    for row in rows_of(rows, task='train'):
        assert {'forward', 'matching', 'loss'} <= set(row['parts'])


def test_head_after_a_neck(cases, small_cfg, tasks):
    """RLE pools what the neck puts out."""
    cfg = copy.deepcopy(small_cfg)
    cfg.model.neck = dict(
        type='mmdet.ChannelMapper', in_channels=[32], out_channels=16,
        kernel_size=1, num_outs=1)
    cfg.model.head.in_channels = 16
    variant = cases.Variant('name', 'config', cases.with_head(cfg, 'rle'))
    times = tasks.Training(variant, 2, torch.device('cpu'))()
    assert 'loss' in times


def test_mode_config_keeps_the_switches_of_the_config(cases, small_cfg,
                                                      monkeypatch):
    calls = []
    monkeypatch.setattr(cases, 'turn_on_efficient_conv_bn_eval',
                        lambda model, names: calls.append(names))
    cfg = copy.deepcopy(small_cfg)
    for mode in cases.MODES:
        cases.Variant('name', mode, cfg).build(training=True)
    assert calls == [['backbone']]
    cfg.efficient_conv_bn_eval = ['backbone']
    for mode in cases.MODES:
        cases.Variant('name', mode, cfg).build(training=True)
    assert len(calls) == 3


@pytest.mark.parametrize('arguments, message', [
    (('nowhere.py', ), 'there is no config file nowhere.py'),
    (('--batch-size', 0), '--batch-size must be at least 1, but is 0'),
    (('--repeats', -1), '--repeats must be at least 1'),
    (('--threads', 0), '--threads must be at least 1'),
    (('--tasks', 'train,fly'), "--tasks has ['fly']"),
    (('--conflicts', 2), 'a share is in [0, 1]'),
    (('--checkpoint', 'nowhere.pth'), 'there is no checkpoint nowhere.pth'),
    (('--device', 'nothing'), '--device nothing does not work'),
    (('--heads', 'none'), 'none'),
    (('--dtype', 'int8'), 'int8'),
])
def test_bad_arguments(run_tool, small_config, capsys, arguments, message):
    assert run_tool(SCRIPT, small_config, *arguments).code == 2
    assert message in capsys.readouterr().err


def test_impossible_comparisons(run_tool, small_config, cascade_config,
                                tmp_path, cases, small_cfg):
    done = run_tool(SCRIPT, cascade_config, '--heads', 'all')
    assert 'PRTRCascade, not TopdownPoseEstimator' in str(done.error)
    done = run_tool(SCRIPT, cascade_config, '--scaling')
    assert 'top-down config with a PRTRHead' in str(done.error)
    path = tmp_path / 'rle.py'
    cfg = cases.with_head(small_cfg, 'rle')
    Config(cfg._cfg_dict.to_dict()).dump(path)
    done = run_tool(SCRIPT, path, '--plain')
    assert 'RLEHead, not PRTRHead' in str(done.error)
    done = run_tool(SCRIPT, small_config, small_config)
    assert done.code == 2
