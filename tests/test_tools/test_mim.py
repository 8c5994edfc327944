"""``mim`` on the installed package."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIM = Path(sys.executable).with_name('mim')


def installed_location():
    """Where the plugin is installed, other than in this repository."""
    for distribution in importlib.metadata.distributions(name='prtr_plugin'):
        package = Path(distribution.locate_file('prtr_plugin'))
        if package.is_dir() and package.resolve() != ROOT / 'prtr_plugin':
            return package
    return None


pytestmark = [
    pytest.mark.skipif(not MIM.is_file(), reason=f'there is no mim beside {sys.executable}'),
    pytest.mark.skipif(
        installed_location() is None,
        reason='prtr_plugin is not installed (tools/setup_env.sh does that)',
    ),
]


@pytest.fixture
def mim(tmp_path, as_arguments):
    """Runs mim in an empty folder, away from the repository."""

    def run(*args, options={}, fails=False):
        args = [*map(str, (MIM, *args)), *as_arguments(options)]
        env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
        done = subprocess.run(
            args,
            cwd=tmp_path,
            env=dict(env, OMP_NUM_THREADS='1'),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    return run


def test_search(mim, tmp_path):
    out = tmp_path / 'models.json'
    mim('search', 'prtr_plugin', '--json', out)
    found = json.loads(out.read_text())
    configs = {
        path.stem for path in (ROOT / 'configs').rglob('*.py') if path.parent.name != '_base_'
    }
    assert set(found['epochs']) <= configs
    assert found['epochs']['td-prtr_res50_4xb32-200e_coco-384x288'] == 200


def test_download_says_where_weights_come_from(mim):
    for name in (
        'td-prtr_res50_4xb32-200e_coco-384x288',
        'td-prtr-plus_res50_4xb32-210e_coco-256x192',
    ):
        output = mim('download', 'prtr_plugin', '--config', name, '--dest', 'out', fails=True)
        assert 'not published: train them by mim train prtr_plugin or convert' in output


@pytest.mark.slow
def test_train_and_test_the_plugin(mim, each_config, quick_options, tmp_path):
    """By the name of the config, wherever it is installed."""
    name = Path(each_config).name
    options = {**quick_options, 'train_cfg.max_epochs': 1}
    output = mim(
        'train', 'prtr_plugin', name, '--no-validate', '--work-dir', 'out', options=options
    )
    assert str(installed_location() / '.mim' / 'configs') in output
    assert 'Epoch(train) [1][' in output
    assert (tmp_path / 'out' / 'epoch_1.pth').is_file()

    mim(
        'test',
        'prtr_plugin',
        name,
        '--checkpoint',
        'out/epoch_1.pth',
        '--out',
        'metrics.json',
        options=options,
    )
    assert 'coco/AP' in json.loads((tmp_path / 'metrics.json').read_text())


@pytest.mark.slow
def test_train_and_test_mmpose(mim, small_config, quick_options, synthetic_people, tmp_path):
    """mmpose's own scripts import the plugin because the config says so.

    They do not know that a new data_root makes new paths.
    """
    options = {**quick_options, 'train_cfg.max_epochs': 1}
    del options['data_root']
    ann = synthetic_people / 'annotations' / 'person_keypoints_val2017.json'
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.dataset.data_root'] = synthetic_people
    for split in ('val', 'test'):
        options[f'{split}_evaluator.ann_file'] = ann
    output = mim(
        'train',
        'mmpose',
        small_config,
        '--work-dir',
        'out',
        options={**options, 'train_cfg.val_interval': 1},
    )
    assert 'Epoch(train) [1][3/3]' in output and 'coco/AP: ' in output
    output = mim(
        'test',
        'mmpose',
        small_config,
        '--checkpoint',
        tmp_path / 'out' / 'epoch_1.pth',
        options=options,
    )
    assert 'coco/AP: ' in output
    assert 'missing keys' not in output and 'unexpected key' not in output
