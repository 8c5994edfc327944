"""docs/mmpose.md: its configs are trained, its scripts of mmpose run."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import mmpose
import pytest
from mmengine.config import Config

from helpers import tiny_datasets
from helpers.catalog import set_input_size
from helpers.own_people import write_people

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / 'docs/mmpose.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', TEXT, re.S)
EXAMPLES = [block for block in BLOCKS if block.startswith('_base_')]
COMMANDS = [
    line for block in re.findall(r'```shell\n(.*?)```', TEXT, re.S) for line in block.splitlines()
]


def write(text: str, file: Path) -> str:
    file.write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
    return str(file)


def train_small(cfg: Config, folder: Path, run_tool, options: dict) -> Path:
    """Train an example for an epoch, small and without a download."""
    set_input_size(cfg._cfg_dict, (96, 128))
    cfg.model.backbone.update(depth=18, init_cfg=None)
    channels = cfg.model.head.in_channels
    cfg.model.head.in_channels = (
        channels // 4 if isinstance(channels, int) else [c // 4 for c in channels]
    )
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.bbox_file = None
    cfg.dump(folder / 'small.py')
    options = {**options, 'default_hooks.logger.interval': 1}
    done = run_tool('train.py', folder / 'small.py', '--work-dir', folder / 'run', options=options)
    assert not done.code, done.error
    assert list((folder / 'run').glob('*epoch_1.pth'))
    (log,) = (folder / 'run').rglob('scalars.json')
    assert 'loss_kpt' in log.read_text() and 'coco/AP' in log.read_text()
    return folder / 'run'


def test_there_are_examples():
    assert len(EXAMPLES) == 3 and len(BLOCKS) == 4 and len(COMMANDS) == 5


def test_short_form_in_the_readme():
    """What README.md shows is part of the whole example."""
    readme = (ROOT / 'README.md').read_text()
    (block,) = [b for b in re.findall(r'```python\n(.*?)```', readme, re.S) if 'PRTRHead' in b]
    for line in block.splitlines():
        assert line in EXAMPLES[0].splitlines(), line


@pytest.fixture(params=EXAMPLES[:2], ids=['prtr', 'prtr_plus'])
def example(request, tmp_path):
    """A config for COCO as a file."""
    return write(request.param, tmp_path / 'example.py')


@pytest.fixture
def own_joints(tmp_path):
    """The config for five joints as a file, beside its data."""
    write(EXAMPLES[0], tmp_path / 'prtr_res50.py')
    people = write_people(tmp_path / 'people5', num_images=4)
    shutil.copy(people / 'annotations/labels.json', people / 'annotations/train.json')
    shutil.copy(people / 'annotations/labels.json', people / 'annotations/val.json')
    return write(EXAMPLES[2], tmp_path / 'own_joints.py')


def test_example_keeps_nothing_of_the_heatmap(example):
    cfg = Config.fromfile(example)
    assert 'heatmap' not in str(cfg.model).lower()
    steps = {step['type']: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['GenerateTarget']['encoder'] == cfg.model.head.decoder
    assert cfg.model.test_cfg.flip_test and cfg.optim_wrapper.optimizer.type == 'AdamW'
    # the rest is the base's
    assert {'RandomHalfBody', 'RandomBBoxTransform'} <= set(steps)
    assert cfg.train_cfg.max_epochs == 210


def test_own_joints_keep_nothing_of_coco(own_joints):
    cfg = Config.fromfile(own_joints)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == 'people5/' and not dataset.get('bbox_file')
        assert len(dataset.metainfo.keypoint_info) == 5
    steps = {step['type']: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['GenerateTarget']['encoder'] == cfg.model.head.decoder
    assert cfg.model.head.decoder.num_keypoints == cfg.model.head.out_channels == 5
    assert cfg.test_evaluator.ann_file == 'people5/annotations/val.json'
    assert {s['end'] for s in cfg.param_scheduler if s['by_epoch']} == {cfg.train_cfg.max_epochs}


@pytest.mark.slow
def test_example_trains_and_is_evaluated(example, tmp_path, run_tool):
    tiny_datasets.write_coco(tmp_path / 'coco')
    options = {'data_root': f'{tmp_path}/coco/'}
    train_small(Config.fromfile(example), tmp_path, run_tool, options)


@pytest.mark.slow
def test_own_joints_train_and_are_evaluated(own_joints, tmp_path, run_tool, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_small(Config.fromfile(own_joints), tmp_path, run_tool, {})


def run_mmpose(path: str, args: list, monkeypatch) -> None:
    """A script of the installed mmpose, in this process."""
    file = Path(mmpose.__file__).parent / '.mim' / path
    monkeypatch.setattr(sys, 'argv', [str(file), *args])
    runpy.run_path(str(file), run_name='__main__')


@pytest.fixture
def place(synthetic_people, tmp_path, monkeypatch):
    """A folder with the data of the small config and a picture."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/synthetic_people').symlink_to(synthetic_people)
    shutil.copy(min((synthetic_people / 'val2017').iterdir()), tmp_path / 'person.jpg')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_browse_dataset(place, small_config, monkeypatch):
    (command,) = [line for line in COMMANDS if 'browse_dataset' in line]
    *mim, script, config = (words := shlex.split(command))[:5]
    assert mim == ['mim', 'run', 'mmpose'] and config == 'CONFIG'
    args = [small_config, *words[5:]]
    run_mmpose(f'tools/misc/{script}.py', args, monkeypatch)
    pictures = list((place / 'out').glob('*.jpg'))
    assert len(pictures) >= 8
    assert all(cv2.imread(str(path)).shape[2] == 3 for path in pictures)


def test_inferencer_demo(place, small_config, checkpoint, quick_options, monkeypatch):
    (command,) = [line for line in COMMANDS if 'inferencer_demo' in line]
    cfg = Config.fromfile(small_config)
    cfg.merge_from_dict(quick_options)
    cfg.dump(place / 'config.py')
    words = dict(CONFIG='config.py', CHECKPOINT=checkpoint)
    _, script, *args = (words.get(word, word) for word in shlex.split(command))
    run_mmpose(script, args, monkeypatch)
    assert (place / 'out/person.jpg').is_file()


def test_inferencer(place, checkpoint, small_config, quick_options):
    (code,) = (block for block in BLOCKS if 'MMPoseInferencer' in block)
    config, weights = re.findall(r"'(configs/\S+)',\n    '(\S+)',", code)[0]
    assert (ROOT / config).is_file()
    cfg = Config.fromfile(small_config)
    cfg.merge_from_dict(quick_options)
    cfg.dump(place / 'config.py')
    found: dict = {}
    exec(code.replace(config, 'config.py').replace(weights, checkpoint), found)
    assert (place / 'out/person.jpg').is_file()
    ((person,),) = found['result']['predictions']
    assert len(person['keypoints']) == 17
