"""Planning a training, and training."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from prtr_plugin import apis
from prtr_plugin.apis import load_config, plan_training, train
from prtr_plugin.apis.device import use_device
from prtr_plugin.apis.runner import use_amp

LAYERS = {f'model.head.transformer.num_{kind}_layers': 1 for kind in ('encoder', 'decoder')}


def test_a_new_folder_for_every_run(own_people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [plan_training(own_people).work_dir for _ in range(3)]
    assert folders == [Path('work_dirs') / name for name in ('people5', 'people5-2', 'people5-3')]
    with pytest.raises(FileExistsError, match=r'is not empty: give another one \(out'):
        plan_training(own_people, work_dir=folders[0])
    (folders[0] / 'config.py').rename(folders[0] / 'notes.txt')
    with pytest.raises(FileExistsError, match=r'another one \(out, work_dir\)\.$'):
        plan_training(own_people, work_dir=folders[0])
    # one word for each decision
    plan = plan_training(config='prtr-s', seed=3)
    assert list(plan.decisions) == ['model', 'output']
    assert plan.work_dir == Path('work_dirs/prtr-s')
    assert load_config(str(plan.config)).randomness.seed == 3


def test_the_written_config_trains_the_same(own_people, tmp_path, run_tool):
    """`tools/train.py` and `mim train` run what `prtr train` ran."""
    folder = tmp_path / 'first'
    train(data=own_people, epochs=1, work_dir=folder, device='cpu', cfg_options=LAYERS)
    written = (folder / 'config.py').read_text()
    done = run_tool('train.py', folder / 'config.py', '--work-dir', tmp_path / 'second')
    assert not done.code, done
    states = [
        torch.load(tmp_path / name / 'epoch_1.pth', weights_only=False)['state_dict']
        for name in ('first', 'second')
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    # mmengine's copy of the whole config does not replace it
    assert written.startswith('# Written by') and (folder / 'config.py').read_text() == written
    (best,) = folder.glob('best_*.pth')
    assert 'coco/AP' in apis.test(
        str(folder / 'config.py'), str(best), work_dir=str(tmp_path / 'test')
    )


def test_errors(own_people, tmp_path):
    for options in ({}, dict(data=own_people, config='prtr-s')):
        with pytest.raises(ValueError, match='Give either data'):
            plan_training(**options)
    with pytest.raises(ValueError, match='Give data'):
        train()
    with pytest.raises(ValueError, match='flip and sigmas need data'):
        plan_training(config='prtr-s', sigmas=0.1, work_dir=tmp_path / 'a')


def test_a_run_that_cannot_start_leaves_its_folder_free(own_people, tmp_path):
    folder = tmp_path / 'run'
    wrong = {'optim_wrapper.optimizer.lrr': 1}
    with pytest.raises(ValueError, match='lrr'):
        train(data=own_people, work_dir=folder, device='cpu', cfg_options=wrong)
    assert not folder.exists()
    # what somebody wrote or trained is kept
    for name in ('config.py', 'epoch_1.pth', 'notes.txt'):
        plan = plan_training(own_people, work_dir=tmp_path / name, cfg_options=wrong)
        with open(plan.work_dir / name, 'a') as file:
            file.write('# mine')
        with pytest.raises((ValueError, FileExistsError), match='lrr|epoch_1'):
            train(plan, device='cpu')
        assert (plan.work_dir / name).exists()


def test_a_plan_takes_no_other_decisions(own_people, tmp_path):
    plan = plan_training(own_people, work_dir=tmp_path / 'run')
    with pytest.raises(ValueError, match='work_dir, epochs would have no effect.*plan_training'):
        train(plan, work_dir=tmp_path / 'other', epochs=3)
    with pytest.raises(ValueError, match='data would have no effect'):
        train(plan, data=own_people)
    assert not (tmp_path / 'other').exists()


def test_the_metric_of_a_config(small_config, quick_options, tmp_path):
    """A run by another metric than AP is summarised by that one."""
    base = tmp_path / 'pck.py'
    base.write_text(
        f'_base_ = {small_config!r}\n'
        "val_evaluator = dict(_delete_=True, type='PCKAccuracy', thr=0.2, norm_item='bbox')\n"
        'test_evaluator = val_evaluator\n'
        "default_hooks = dict(checkpoint=dict(save_best='PCK'))\n"
    )
    options = {
        k: v for k, v in quick_options.items() if k.split('.')[0] in ('model', 'log_processor')
    }
    for split in ('train', 'val', 'test'):
        options |= {k: v for k, v in quick_options.items() if k.startswith(f'{split}_dataloader')}
        options[f'{split}_dataloader.dataset.data_root'] = quick_options['data_root']
    plan = plan_training(
        config=str(base), epochs=1, work_dir=tmp_path / 'run', early_stop=2, cfg_options=options
    )
    hooks = load_config(str(plan.config)).custom_hooks
    assert hooks[-1] == dict(type='EarlyStopHook', monitor='PCK', patience=2)
    seen = []
    train(plan, device='cpu', report=seen.append)
    summary = apis.summarize_run(plan.work_dir)
    assert summary.metric == 'PCK' and summary.curve == {1: summary.best}
    assert summary.checkpoint.name == 'best_PCK_epoch_1.pth'
    assert seen[-1].validated and seen[-1].values['PCK'] == summary.best
    assert 'PCK' in (plan.work_dir / 'report.html').read_text()


def test_mixed_precision_is_resumed(own_people, tmp_path):
    plan = plan_training(own_people, work_dir=tmp_path / 'run', device='cpu', amp=True)
    assert load_config(str(plan.config)).optim_wrapper.type == 'BFloat16OptimWrapper'
    # planned on a GPU, and continued here
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale='dynamic')))
    with use_device('cpu'):
        use_amp(cfg)
    assert cfg.optim_wrapper == dict(type='BFloat16OptimWrapper')
    options = {'optim_wrapper.type': 'mine'}
    plan = plan_training(own_people, work_dir=tmp_path / 'b', device='cpu', cfg_options=options)
    assert load_config(str(plan.config)).optim_wrapper.type == 'mine'
