import copy
import json
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed

FOLDER = 'analysis_tools'
SCRIPT = f'{FOLDER}/benchmark.py'
SMALL = ('--batch-size', 2, '--repeats', 2, '--threads', 1)


@pytest.fixture(scope='module')
def result(run_tool, load_tool, small_config, benchmark_options, tmp_path_factory):
    """What the script writes for everything at once."""
    load_tool(SCRIPT)  # so that the files beside it are known
    out = tmp_path_factory.mktemp('benchmark') / 'new'
    with pytest.MonkeyPatch.context() as patch:
        # a process for each model takes long, and is tested on its own
        patch.setattr(
            'memory_utils.memory_in_new_process', lambda *args: 10 if 'plain' in args[1] else 5
        )
        patch.setattr('benchmark_scaling.BATCH_SIZES', (1, 2))
        patch.setattr('benchmark_scaling.MATCHING', ((1, 2), (2, 2)))
        patch.setattr('benchmark_scaling.READ_OUT', ((3, 20), (17, 30)))
        done = run_tool(
            SCRIPT,
            small_config,
            *SMALL,
            '--plain',
            '--heads',
            'all',
            '--dtype',
            'float32',
            'bfloat16',
            '--scaling',
            '--loss-curve',
            3,
            '--out',
            out,
            options=benchmark_options,
        )
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
            'train': {'data', 'forward', 'loss', 'backward', 'optimizer'},
            'read_out': {'read_out'},
            'matching_loss': {'loss'},
        }[row['task']]
        if row['task'] in ('train', 'matching_loss') and '(' not in row['name']:
            parts = parts | {'matching'}
        assert set(row['parts']) == parts, row
        for times in (row['total'], *row['parts'].values()):
            assert 0 < times['min'] <= times['q1'] <= times['median'] <= times['q3'] <= times['max']
        assert row['images_per_second'] * row['total']['median'] == pytest.approx(row['images'])


def test_models(result, small_cfg, cases):
    models = result[0]['models']
    config, fast, plain = [m for m in models if '(' not in m['name']]
    model = cases.Variant('name', 'config', small_cfg).build(training=True)
    assert config['params'] == plain['params'] == sum(p.numel() for p in model.parameters())
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
        for other in (
            'config bfloat16',
            'fast float32',
            'fast bfloat16',
            'plain float32',
            'plain bfloat16',
        )
    ]
    for row in rows:
        assert row['pixels'] < (
            1e-2
            if 'and fast float32' in row['between'] or 'and plain float32' in row['between']
            else 20
        )
        # else they would show nothing
        assert row['spread'] > 0.1


def test_scaling(result):
    (scaling,) = result[0]['scaling'].values()
    assert [r['batch_size'] for r in scaling['batch']] == [1, 2]
    assert [(r['levels'], r['crops']) for r in scaling['matching']] == [
        (1, 2), (2, 2)]  # yapf: disable
    assert [(r['joints'], r['queries'], r['plain']) for r in scaling['read_out']] == [
        (3, 20, False),
        (3, 20, True),
        (17, 30, False),
        (17, 30, True),
    ]
    row = scaling['batch'][1]
    assert row['per_crop'] * 2 == row['seconds']['median']


def test_losses(result, cases, tasks, small_cfg):
    """The same steps in both types, and what an own loop gives."""
    losses = result[0]['losses']
    assert len(losses) == 4  # PRTR and three other heads
    rows = expected, other = next(iter(losses.values()))
    assert [r['dtype'] for r in rows] == ['float32', 'bfloat16']
    assert expected['mean'] == expected['max'] == 0
    assert 0 < other['mean'] <= other['max'] < 0.1
    case = tasks.Training(cases.Variant('name', 'fast', small_cfg), 2, torch.device('cpu'))
    losses = []
    for step in range(3):
        set_random_seed(step)
        case()
        losses.append(case.loss.item())
    assert expected['losses'] == pytest.approx(losses, rel=1e-4)
    differences = [abs(a / b - 1) for a, b in zip(other['losses'], expected['losses'])]
    assert other['max'] == pytest.approx(max(differences), rel=1e-6)


def test_profile(
    run_tool, load_tool, small_config, benchmark_options, tmp_path, capsys, monkeypatch
):
    load_tool(SCRIPT)
    monkeypatch.setattr(
        'benchmark_profile.matrix_rates', lambda *args: dict(product=1e9, convolution=2e9)
    )
    done = run_tool(
        SCRIPT,
        small_config,
        *SMALL,
        '--tasks',
        'inference,train',
        '--profile',
        3,
        '--out',
        tmp_path,
        options=benchmark_options,
    )
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
    for name in ('benchmark.png', 'scaling.png', 'losses.png'):
        assert (result[1] / name).read_bytes()[:4] == b'\x89PNG'


def test_text(result, load_tool, capsys):
    load_tool(f'{FOLDER}/benchmark_report.py').print_tables(result[0])
    text = capsys.readouterr().out
    for word in (
        'threads: 1',
        'torch',
        'Peak memory',
        'read_out',
        'images/s',
        '0.50x',
        '(heatmap)',
        'ms per crop',
    ):
        assert word in text


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
    assert tasks.summarize([1, 2, 3, 4, 9]) == dict(median=3, q1=2, q3=4, min=1, max=9)


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
    peak = tasks.peak_memory(variant, 'train', 2, torch.float32, torch.device('cpu'))
    assert peak is None or peak >= 0


def test_checkpoint(cases, small_cfg, tmp_path):
    """Real weights; another head has none."""
    path = str(tmp_path / 'weights.pth')
    model = cases.Variant('name', 'config', small_cfg).build(training=True)
    with torch.no_grad():
        for param in model.parameters():
            param.add_(1)
    torch.save(dict(state_dict=model.state_dict()), path)
    for variant in cases.make_variants(
        {'name': small_cfg}, ['rle'], ['config', 'plain'], False, path
    ):
        loaded = variant.build(training=False).state_dict()
        same = [torch.equal(loaded[k], v) for k, v in model.state_dict().items() if k in loaded]
        assert all(same) == (variant.name == 'name')


def test_memory_of_a_process(run_tool, small_config, benchmark_options, capsys):
    """What the processes for the memory are told and print."""
    name = small_config.split('/')[-1][:-3]
    done = run_tool(
        SCRIPT,
        small_config,
        *SMALL,
        '--fast',
        '--memory-of',
        f'{name} [fast]',
        'inference',
        'bfloat16',
        options=benchmark_options,
    )
    assert done.code == 0, done.error
    json.loads(capsys.readouterr().out.splitlines()[-1])


def test_cascade(run_tool, cascade_config, tmp_path):
    """Any pose estimator can be measured."""
    done = run_tool(
        SCRIPT,
        cascade_config,
        *SMALL,
        '--plain',
        '--tasks',
        'complexity,inference,train',
        '--out',
        tmp_path,
    )
    assert done.code == 0, done.error
    rows = json.loads((tmp_path / 'benchmark.json').read_text())['times']
    assert {r['mode'] for r in rows} == {'config', 'fast', 'plain'}
    for row in rows_of(rows, task='train'):
        assert {'forward', 'matching', 'loss'} <= set(row['parts'])


def test_head_after_a_neck(cases, small_cfg, tasks):
    """RLE pools what the neck puts out."""
    cfg = copy.deepcopy(small_cfg)
    cfg.model.neck = dict(
        type='mmdet.ChannelMapper', in_channels=[32], out_channels=16, kernel_size=1, num_outs=1
    )
    cfg.model.head.in_channels = 16
    variant = cases.Variant('name', 'config', cases.with_head(cfg, 'rle'))
    times = tasks.Training(variant, 2, torch.device('cpu'))()
    assert 'loss' in times


def test_mode_config_keeps_the_switches_of_the_config(cases, small_cfg, monkeypatch):
    calls = []
    monkeypatch.setattr(
        cases, 'turn_on_efficient_conv_bn_eval', lambda model, names: calls.append(names)
    )
    cfg = copy.deepcopy(small_cfg)
    for mode in cases.MODES:
        cases.Variant('name', mode, cfg).build(training=True)
    assert calls == [['backbone']] * len(cases.FAST_MODES)
    cfg.efficient_conv_bn_eval = ['backbone']
    for mode in cases.MODES:
        cases.Variant('name', mode, cfg).build(training=True)
    # all but the plain one
    assert len(calls) == len(cases.FAST_MODES) + len(cases.MODES) - 1


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('nowhere.py',), 'there is no config file nowhere.py'),
        (('--batch-size', 0), '--batch-size must be at least 1, but is 0'),
        (('--repeats', -1), '--repeats must be at least 1'),
        (('--threads', 0), '--threads must be at least 1'),
        (('--loss-curve', 0), '--loss-curve must be at least 1'),
        (('--tasks', 'train,fly'), "--tasks has ['fly']"),
        (('--conflicts', 2), 'a share is in [0, 1]'),
        (('--checkpoint', 'nowhere.pth'), 'there is no checkpoint nowhere.pth'),
        (('--device', 'nothing'), '--device nothing does not work'),
        (('--heads', 'none'), 'none'),
        (('--dtype', 'int8'), 'int8'),
    ],
)
def test_bad_arguments(run_tool, small_config, capsys, arguments, message):
    assert run_tool(SCRIPT, small_config, *arguments).code == 2
    assert message in capsys.readouterr().err


def test_impossible_comparisons(run_tool, small_config, cascade_config, tmp_path, cases, small_cfg):
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
