"""docs/cascade.md: its config is trained, its examples run."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from helpers.own_people import write_people
from prtr_plugin.model_index import find_config

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/cascade.md').read_text(), re.S)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with the config, its data and a picture."""
    folder = tmp_path_factory.mktemp('cascade')
    people = write_people(folder / 'people5', num_images=9)
    for split in ('train', 'val'):
        shutil.copy(people / 'annotations/labels.json', people / f'annotations/{split}.json')
    shutil.copy(min((people / 'images').iterdir()), folder / 'people.jpg')
    (text,) = (block for block in BLOCKS if block.startswith('_base_'))
    (folder / 'people5_cascade.py').write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
    return folder


@pytest.fixture(autouse=True)
def in_place(place, monkeypatch):
    monkeypatch.chdir(place)


def test_config_fits_together(mmpose_scope):
    cfg = Config.fromfile('people5_cascade.py')
    model = MODELS.build(cfg.model)
    assert model.head.transformer.positional_encoding.size == model.crop.resolution == (8, 12)
    assert model.head.decoder.num_keypoints == model.head.out_channels == 5
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        scales = [step.scales for step in loader.dataset.pipeline if 'scales' in step]
        assert scales == [[(256, 192)]] and len(loader.dataset.metainfo.keypoint_info) == 5
    assert {metric.ann_file for metric in cfg.test_evaluator} == {'people5/annotations/val.json'}


@pytest.mark.slow
def test_own_cascade(run_tool, capsys):
    """It trains and is evaluated, and the example finds people with its checkpoint."""
    options = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
    options |= {'default_hooks.logger.interval': 1, 'default_hooks.checkpoint.interval': 1}
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.num_workers'] = 0
        options[f'{split}_dataloader.persistent_workers'] = False
    args = ('people5_cascade.py', '--work-dir', 'work_dirs/cascade_plus')
    done = run_tool('train.py', *args, options=options)
    assert not done.code, done.error
    (log,) = Path('work_dirs/cascade_plus').rglob('scalars.json')
    assert log.read_text().count('det.loss_bbox') >= 2 and 'bbox_AP' in log.read_text()

    (code,) = (block for block in BLOCKS if 'load_run' in block)
    assert 'score_thr=0.3' in code
    capsys.readouterr()
    exec(code.replace('score_thr=0.3', 'score_thr=0.0'), {})
    assert '[' in capsys.readouterr().out


def test_inferencer(mmpose_scope):
    (code,) = (block for block in BLOCKS if 'PRTRInferencer' in block)
    name, weights = re.findall(r"'(prtr-cascade\S*)', '(\S+)'", code)[0]
    state = MODELS.build(Config.fromfile(find_config(name)).model).state_dict()
    torch.save(dict(state_dict=state), 'random.pth')
    found: dict = {}
    exec(code.replace(weights, 'random.pth'), found)
    assert Path('out/people.jpg').is_file() and 'predictions' in found['result']
