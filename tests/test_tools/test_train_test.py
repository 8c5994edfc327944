"""``tools/train.py`` and ``tools/test.py``: results, resuming, refusals."""

import json
import math
import shutil
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.utils import digit_version


def logged(work_dir, name='loss'):
    """The values of every step of the latest run in a work folder."""
    path = max(work_dir.glob('*/vis_data/scalars.json'))
    steps = [json.loads(line) for line in path.read_text().splitlines()]
    return [step[name] for step in steps if name in step]


@pytest.fixture(scope='module')
def metrics(each_config, small_config):
    """Metrics to look at. AP is 0 after so little training; EPE and AR are
    not, but EPE needs one prediction per person."""
    if each_config == small_config:
        return ['coco/AP', 'EPE']
    return ['coco/AP', 'coco/bbox_AP', 'coco/bbox_AR@100']


@pytest.fixture(scope='module')
def config(tmp_path_factory, each_config, metrics):
    """A small config, resumable to the last digit, with these metrics."""
    text = f"_base_ = {each_config!r}\ncustom_hooks = [dict(type='EpochSeedHook')]\n"
    if 'EPE' in metrics:
        text += (
            "val_evaluator = [_base_.val_evaluator, dict(type='EPE')]\n"
            'test_evaluator = val_evaluator\n'
        )
    path = tmp_path_factory.mktemp('config') / 'config.py'
    path.write_text(text)
    return path


@pytest.fixture(scope='module')
def num_steps(each_config, small_config):
    """Steps of an epoch, of four people or images each."""
    return 3 if each_config == small_config else 2


@pytest.fixture(scope='module')
def trained(tmp_path_factory, run_tool, config, quick_options):
    """The work folder of a training of two epochs."""
    work_dir = tmp_path_factory.mktemp('trained')
    done = run_tool('train.py', config, '--work-dir', work_dir, options=quick_options)
    assert (done.code, done.error) == (0, None)
    return work_dir


@pytest.fixture
def people(synthetic_people, tmp_path):
    """A copy of the data set, to damage it."""
    return shutil.copytree(synthetic_people, tmp_path / 'people')


def annotations(folder, split='train'):
    return folder / f'annotations/person_keypoints_{split}2017.json'


def test_train(trained, num_steps):
    losses = logged(trained)
    assert len(losses) == 2 * num_steps
    assert all(map(math.isfinite, losses))
    state = torch.load(trained / 'epoch_2.pth', map_location='cpu', weights_only=False)
    assert state['meta']['dataset_meta']['num_keypoints'] == 17
    assert any(key.startswith('head.') for key in state['state_dict'])
    assert (trained / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    assert 0 <= logged(trained, 'coco/AP')[-1] <= 1


def test_test(trained, run_tool, config, metrics, quick_options, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / 'metrics.json'
    done = run_tool(
        'test.py',
        config,
        trained / 'epoch_2.pth',
        '--work-dir',
        tmp_path / 'logs',
        '--out',
        out,
        '--dump',
        tmp_path / 'predictions.pkl',
        '--show-dir',
        'pictures',  # from here, not from the work folder
        options=quick_options,
    )
    assert (done.code, done.error) == (0, None)
    values = json.loads(out.read_text())
    # what training found for the same model
    for name in metrics:
        assert values[name] == pytest.approx(logged(trained, name)[-1])
    assert values.get('EPE', 1) > 0
    printed = ''.join(capfd.readouterr())
    assert 'coco/AP: ' in printed and 'Average Precision' in printed
    assert 'weights_only=False' not in printed
    assert (tmp_path / 'predictions.pkl').stat().st_size > 0
    assert list((tmp_path / 'pictures').glob('*.jpg'))


@pytest.mark.parametrize('num_workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resume(run_tool, config, trained, num_steps, quick_options, tmp_path, num_workers):
    """The random numbers of the augmentation go on as well."""
    options = {**quick_options, 'train_dataloader.num_workers': num_workers}

    def train(work_dir, *args, num_epochs=2):
        done = run_tool(
            'train.py',
            config,
            '--no-validate',
            '--work-dir',
            work_dir,
            *args,
            options={**options, 'train_cfg.max_epochs': num_epochs},
        )
        assert (done.code, done.error) == (0, None)
        return work_dir

    whole = train(tmp_path / 'whole') if num_workers else trained
    parts = tmp_path / 'parts'
    first = logged(train(parts, num_epochs=1))
    time.sleep(1)  # folders of runs are named after the second
    second = logged(train(parts, '--resume'))
    # equal on the CPU, where sums have a fixed order
    rel = 1e-3 if torch.cuda.is_available() else 0
    assert len(first) == len(second) == num_steps
    assert first + second == pytest.approx(logged(whole), rel=rel, abs=0)


def test_resume_from_a_file(trained, run_tool, config, num_steps, quick_options, tmp_path):
    done = run_tool(
        'train.py',
        config,
        '--no-validate',
        '--work-dir',
        tmp_path,
        '--resume',
        trained / 'epoch_1.pth',
        options=quick_options,
    )
    assert (done.code, done.error) == (0, None)
    assert len(logged(tmp_path)) == num_steps


@pytest.fixture
def deterministic_again():
    """mmengine's switch is a global one of torch."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


def test_deterministic(run_tool, config, quick_options, tmp_path, deterministic_again):
    """Two runs with one seed have the same losses, bit for bit."""
    losses = []
    for name in ('first', 'second'):
        done = run_tool(
            'train.py',
            config,
            '--no-validate',
            '--work-dir',
            tmp_path / name,
            options={**quick_options, 'train_cfg.max_epochs': 1, 'randomness.deterministic': True},
        )
        assert (done.code, done.error) == (0, None)
        assert torch.are_deterministic_algorithms_enabled()
        losses.append(logged(tmp_path / name))
    assert losses[0] == losses[1]


def test_no_checkpoint_to_start_from(run_tool, cascade_config, tmp_path):
    """Before anything is built."""
    missing = tmp_path / 'detector.pth'
    done = run_tool(
        'train.py', cascade_config, '--work-dir', tmp_path / 'out', options={'load_from': missing}
    )
    check_refused(done, missing, 'does not exist', 'load_from')
    assert not (tmp_path / 'out').exists()


def test_auto_scale_lr(run_tool, small_config, quick_options, tmp_path):
    done = run_tool(
        'train.py',
        small_config,
        '--no-validate',
        '--auto-scale-lr',
        '--work-dir',
        tmp_path,
        options={**quick_options, 'train_cfg.max_epochs': 1},
    )
    assert (done.code, done.error) == (0, None)
    # 4 instead of 32 people in a step; the warm-up starts at 1 %
    assert logged(tmp_path, 'lr')[0] == pytest.approx(0.01 * 1e-3 * 4 / 32)


@pytest.mark.slow
@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.2'),
    reason="torch 2.1 cannot trace mmengine's data preprocessor",
)
@pytest.mark.xfail(
    digit_version(torch.__version__) >= digit_version('2.13'),
    reason='torch 2.13 cannot trace its own optimizers: an internal error at their param_groups',
)
def test_compile(run_tool, small_config, quick_options, tmp_path):
    """mmengine's switch traces the whole step, matching included."""
    losses = []
    # eager: generating code would take minutes
    for name, switch in ('off', {}), ('on', {'compile.backend': 'eager'}):
        done = run_tool(
            'train.py',
            small_config,
            '--no-validate',
            '--work-dir',
            tmp_path / name,
            options={**quick_options, **switch, 'train_cfg.max_epochs': 1},
        )
        assert (done.code, done.error) == (0, None)
        losses.append(logged(tmp_path / name))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_amp(run_tool, small_config, quick_options, tmp_path):
    done = run_tool(
        'train.py',
        small_config,
        '--no-validate',
        '--amp',
        '--work-dir',
        tmp_path,
        options={**quick_options, 'train_cfg.max_epochs': 1},
    )
    assert (done.code, done.error) == (0, None)
    assert all(map(math.isfinite, logged(tmp_path)))
    wrapper = 'AmpOptimWrapper' if torch.cuda.is_available() else 'BFloat16OptimWrapper'
    saved = Config.fromfile(tmp_path / Path(small_config).name)
    assert saved.optim_wrapper.type == wrapper


def test_amp_and_another_wrapper(run_tool, small_config, tmp_path):
    done = run_tool(
        'train.py',
        small_config,
        '--amp',
        '--work-dir',
        tmp_path,
        options={'optim_wrapper.type': 'MyWrapper'},
    )
    check_refused(done, 'amp replaces', '"MyWrapper"')


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_help_is_quick(run_tool, tool, capsys):
    assert run_tool(tool, '--help').code == 0
    assert '--cfg-options' in capsys.readouterr().out


def check_refused(done, *words):
    """A script that ended with one plain sentence."""
    assert done.error is None
    assert isinstance(done.code, str) and done.code.startswith('Error: ')
    for word in words:
        assert str(word) in done.code


def test_checkpoint_of_another_variant(trained, run_tool, config, quick_options, tmp_path):
    options = {
        **quick_options,
        'model.head.transformer.num_encoder_layers': 2,
        'model.head.num_queries': 18,
    }
    words = (
        'does not fit the model',
        'head.transformer.encoder.layers.1',
        'missing',
        'head.transformer.query_embedding.weight (20, ',
        'instead of (18',
    )
    done = run_tool(
        'test.py', config, trained / 'epoch_2.pth', '--work-dir', tmp_path, options=options
    )
    check_refused(done, trained / 'epoch_2.pth', *words)
    done = run_tool(
        'train.py',
        config,
        '--resume',
        trained / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        options=options,
    )
    check_refused(done, *words)


def test_missing_files(run_tool, small_config, quick_options, tmp_path):
    gone = tmp_path / 'gone'
    for tool, args in (
        ('train.py', [small_config, '--resume', gone]),
        ('test.py', [small_config, gone]),
        ('train.py', [gone]),
    ):
        check_refused(run_tool(tool, *args, '--work-dir', tmp_path, options=quick_options), gone)


def test_missing_annotations(run_tool, small_config, quick_options, people, checkpoint, tmp_path):
    options = {**quick_options, 'data_root': f'{people}/'}
    path = annotations(people, 'val')
    path.unlink()
    for tool, *args in (['train.py'], ['test.py', checkpoint]):
        done = run_tool(tool, small_config, *args, '--work-dir', tmp_path, options=options)
        check_refused(done, path, 'does not exist', 'data_root')


def test_malformed_annotations(run_tool, small_config, quick_options, people, checkpoint, tmp_path):
    options = {**quick_options, 'data_root': f'{people}/'}
    for split, tool, *args in (['val', 'test.py', checkpoint], ['train', 'train.py']):
        path = annotations(people, split)
        path.write_text(path.read_text()[:100])
        done = run_tool(tool, small_config, *args, '--work-dir', tmp_path, options=options)
        check_refused(done, path, 'not valid JSON')


def test_unreadable_image(run_tool, small_config, quick_options, people, tmp_path):
    broken = next((people / 'train2017').glob('*.jpg'))
    broken.write_bytes(b'no picture')
    arguments = 'train.py', small_config, '--no-validate', '--work-dir', tmp_path
    options = {**quick_options, 'data_root': f'{people}/'}
    check_refused(run_tool(*arguments, options=options), broken.name, 'is not a picture')
    # on network drives, when it is loaded
    done = run_tool(*arguments, options={**options, 'check_pictures': False})
    assert done.code == 1
    assert str(broken) in str(done.error)


def test_useless_people(run_tool, small_config, quick_options, people, tmp_path):
    """One without a labelled joint, one with an empty box besides, and one
    whose joints are all marked as invisible."""
    path = annotations(people)
    content = json.loads(path.read_text())
    some = content['annotations'][0]
    content['annotations'] += [
        dict(some, id=1, keypoints=[0] * 51, num_keypoints=0),
        dict(some, id=2, bbox=[5, 5, 0, 30], area=0, keypoints=[0] * 51, num_keypoints=0),
        dict(some, id=3, keypoints=[9, 9, 0] * 17),
    ]
    path.write_text(json.dumps(content))
    arguments = 'train.py', small_config, '--no-validate', '--work-dir', tmp_path
    options = {
        **quick_options,
        'data_root': f'{people}/',
        'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 1,
    }
    done = run_tool(*arguments, options=options)
    check_refused(done, '3: num_keypoints', 'does not agree with the labels')
    del content['annotations'][-1]['num_keypoints']
    path.write_text(json.dumps(content))
    done = run_tool(*arguments, options=options)
    assert (done.code, done.error) == (0, None)
    losses = logged(tmp_path)
    assert len(losses) == len(content['annotations']) - 2
    assert all(map(math.isfinite, losses))
    assert all(map(math.isfinite, logged(tmp_path, 'grad_norm')))
    # of the third, the positions teach nothing, the classes still do
    assert logged(tmp_path, 'loss_kpt').count(0) == 1
    assert 0 not in logged(tmp_path, 'loss_cls')


def test_data_root_of_another_config(run_tool, tmp_path):
    (tmp_path / 'config.py').write_text('model = dict()')
    done = run_tool('train.py', tmp_path / 'config.py', options=dict(data_root='here'))
    check_refused(done, 'config.py', 'no variable data_root')
