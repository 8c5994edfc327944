"""From the joints of one dataset to those of another."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from prtr_plugin.apis import load_config, load_model

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / 'projects' / 'finetune_other_joints'
MAP_JOINTS = 'finetune_other_joints/map_joints.py'
(CONFIG,) = map(str, (PROJECT / 'configs').glob('*.py'))
# head_top and neck are new, the face is dropped
LSPE_IN_COCO = [16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9]
pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture(scope='module')
def lspe(synthetic_people, tmp_path_factory):
    """Synthetic people with the 14 joints, laid out as LSPE."""
    root = tmp_path_factory.mktemp('lspe')
    (root / 'annotations').mkdir()
    joint_info = load_config(CONFIG).train_dataloader.dataset.metainfo.keypoint_info
    names = [joint['name'] for joint in joint_info.values()]
    for split in ('train', 'val'):
        shutil.copytree(synthetic_people / f'{split}2017', root / split)
        name = f'annotations/person_keypoints_{split}'
        data = json.loads((synthetic_people / f'{name}2017.json').read_text())
        for person in data['annotations']:
            joints = [person['keypoints'][3 * k : 3 * k + 3] for k in LSPE_IN_COCO]
            person['keypoints'] = np.ravel(joints + [[0, 0, 0]] * 2).tolist()
        data['categories'][0]['keypoints'] = names
        (root / f'{name}.json').write_text(json.dumps(data))
    return root


@pytest.fixture(scope='module')
def options(quick_options, lspe):
    """For ``CONFIG``, one epoch."""
    return {
        **quick_options,
        'data_root': f'{lspe}/',
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
    }


@pytest.fixture(scope='module')
def start(run_project, checkpoint, options, tmp_path_factory):
    path = tmp_path_factory.mktemp('start') / 'new' / 'start.pth'
    done = run_project(MAP_JOINTS, checkpoint, CONFIG, path, options=options)
    assert done.code == 0
    return path


def test_joints_keep_their_rows(start, checkpoint):
    old = torch.load(checkpoint, weights_only=False)['state_dict']
    new = torch.load(start)['state_dict']
    assert old.keys() == new.keys()
    for key, value in old.items():
        if 'fc_cls' not in key:
            assert (new[key] == value).all()
            continue
        assert len(value) == 18 and len(new[key]) == 15
        assert (new[key][:12] == value[LSPE_IN_COCO]).all()
        assert (new[key][14] == value[17]).all()  # "no keypoint"
        for row in new[key][12:14]:
            assert not (value == row).reshape(18, -1).all(axis=1).any()


def test_result_fits_the_config(start, options):
    model = load_model(CONFIG, str(start), 'cpu', cfg_options=options)
    assert model.dataset_meta['keypoint_id2name'][13] == 'head_top'


def test_message(run_project, checkpoint, options, tmp_path, capsys):
    run_project(MAP_JOINTS, checkpoint, CONFIG, tmp_path / 'a.pth', options=options)
    printed = capsys.readouterr().out
    assert 'kept (12): right_ankle, right_knee' in printed
    assert 'new (2): neck, head_top' in printed
    assert 'dropped (5): nose, left_eye, right_eye' in printed


def test_training(run_tool, start, options, tmp_path):
    """It starts where the checkpoint is, at a learning rate of nearly 0."""
    done = run_tool(
        'train.py',
        CONFIG,
        '--no-validate',
        '--work-dir',
        tmp_path,
        options={
            **options,
            'load_from': str(start),
            'optim_wrapper.optimizer.lr': 1e-9,
            'optim_wrapper.optimizer.weight_decay': 0,
        },
    )
    assert done.code == 0, done.error
    trained = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    for key, value in torch.load(start)['state_dict'].items():
        if 'running' not in key and 'num_batches' not in key:
            assert torch.allclose(trained[key], value, atol=1e-6), key


def test_config():
    """Nothing but the start is new, so that both ways can be compared."""
    cfg = load_config(CONFIG)
    base = load_config(
        str(ROOT / 'configs/body_2d_keypoint/prtr/lspe' / 'td-prtr_res18_1xb32-1e_lspe-128x96.py')
    )
    assert cfg.load_from == 'work_dirs/finetune/start.pth'
    cfg.load_from = base.load_from
    assert cfg.to_dict() == base.to_dict()


def test_errors(run_project, checkpoint, options, train_an_epoch, cascade_config, tmp_path):
    out = tmp_path / 'out.pth'

    def message(*args, **kwargs):
        done = run_project(MAP_JOINTS, *args, out, **kwargs)
        assert not out.exists()
        return done.code

    assert 'nothing does not exist' in message('nothing', CONFIG)
    assert 'There is no model "lspe"' in message(checkpoint, 'lspe')
    # other layers than those of the config
    assert 'does not fit the model' in message(checkpoint, CONFIG)
    bare = tmp_path / 'bare.pth'
    torch.save(torch.load(checkpoint, weights_only=False)['state_dict'], bare)
    assert 'does not name its joints' in message(bare, CONFIG, options=options)
    # a model of the cascade has the layer, and much that does not fit
    assert 'does not fit the model' in message(
        train_an_epoch(cascade_config), CONFIG, options=options
    )
