"""The command `prtr`, in this process."""

import csv
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import prtr_plugin.apis
from helpers.own_people import JOINTS
from prtr_plugin.apis import RunSummary
from prtr_tool.app import show_run


def test_help_needs_nothing_heavy():
    code = (
        'import sys, prtr_tool; from typer.testing import CliRunner; '
        'r = CliRunner().invoke(prtr_tool.app, ["train", "--help"]); assert r.exit_code == 0; '
        'assert "early-stop" in r.output; '
        'print([m for m in ("torch", "mmengine", "prtr_plugin", "numpy") if m in sys.modules])'
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # of the processor: others may be busy
    assert after.ru_utime - before.ru_utime < 1


def test_train_tells_what_it_does(own_run):
    screen = (own_run / 'screen.txt').read_text()
    for word in ('data', 'joints', 'model', 'schedule', 'output'):
        assert any(line.startswith(f'{word} ') for line in screen.splitlines()), screen
    assert '5 (nose, left_wrist' in screen and 'on CPU' in screen
    assert 'epoch 1/1' in screen and 'loss' in screen
    assert 'prtr predict' in screen
    # neither mmengine's config nor its log
    assert len(screen.splitlines()) < 30
    page = (own_run / 'report.html').read_text()
    assert 'Error of each joint' in page and 'data:image/webp' in page and '000000000' not in screen


@pytest.mark.parametrize(
    'args, names', [(['epochs=9', 'seed=0'], 'epochs, seed'), (['train_cfg.x=3'], 'settings')]
)
def test_resuming_changes_no_settings(own_run, run_prtr, args, names):
    done = run_prtr('train', f'config={own_run / "config.py"}', 'resume=true', *args)
    assert done.exit_code
    assert f'with its config: {names} would have no effect' in ' '.join(done.output.split())


def test_the_config_says_that_its_paths_are_absolute(own_run):
    """And none of them is anything else: it works from any folder."""
    header, _, body = (own_run / 'config.py').read_text().partition('_base_')
    assert 'paths are absolute' in ' '.join(header.split())
    paths = re.findall(r"(?:_base_|ann_file|img)\s*=\s*'([^']+)'", '_base_' + body)
    assert len(paths) >= 5 and all(Path(path).is_absolute() for path in paths), paths


def test_predict(own_run, own_people, run_prtr, tmp_path):
    bad = tmp_path / 'bad.jpg'
    bad.write_text('no picture')
    out = tmp_path / 'out'
    done = run_prtr('predict', own_run, own_people / 'images', bad, f'out={out}')
    assert done.exit_code == 0, done.output
    assert 'left out' in done.output and '10 pictures' in done.output
    content = json.loads((out / 'predictions.json').read_text())
    assert content['keypoint_names'] == JOINTS and list(content['errors']) == [str(bad)]
    assert len(content['frames']) == 10
    (person,) = content['frames'][0]['people']
    assert list(person['keypoints']) == JOINTS
    with open(out / 'predictions.csv') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 * 5
    x, y, score = person['keypoints']['left_wrist']
    row = rows[1]
    assert row['joint'] == 'left_wrist' and row['file'] == content['frames'][0]['file']
    numbers = [float(row[key]) for key in ('x', 'y', 'score')]
    np.testing.assert_allclose(numbers, [x, y, score], atol=0.006)
    drawn = cv2.imread(str(out / row['file']))
    assert drawn.shape == cv2.imread(str(own_people / 'images' / row['file'])).shape

    again = run_prtr('predict', own_run, own_people / 'images', f'out={out}')
    assert again.exit_code == 1 and 'not empty' in again.output
    assert run_prtr('predict', own_run, bad, f'out={tmp_path / "none"}').exit_code == 1
    assert not (tmp_path / 'none').exists()


def test_val_of_other_data(own_run, own_people, run_prtr, tmp_path):
    done = run_prtr('val', own_run, f'data={own_people}', f'out={tmp_path / "val"}')
    assert done.exit_code == 0, done.output
    assert 'coco/AP' in done.output
    assert 'Metrics' in (tmp_path / 'val/report.html').read_text()
    # the config that it leaves behind finds its files
    cfg = prtr_plugin.apis.load_config(tmp_path / 'val/config.py')
    assert Path(cfg.test_evaluator.ann_file).is_file()


def test_val_shows_what_it_measured(own_run, run_prtr, tmp_path, monkeypatch):
    """The pictures are those of the test data, as the metrics are."""
    splits, build = [], prtr_plugin.apis.report.build_dataset
    monkeypatch.setattr(
        'prtr_plugin.apis.report.build_dataset',
        lambda model, split: splits.append(split) or build(model, split),
    )
    assert run_prtr('val', own_run, f'out={tmp_path / "val"}').exit_code == 0
    assert splits == ['test']


def test_the_end_of_a_training(capsys):
    summary = RunSummary('PCK', 0.5, 3, 0.25, Path('best.pth'), {3: 0.5, 4: 0.25})
    show_run(summary, Path('run'))
    shown = capsys.readouterr().out
    assert 'PCK 0.500 in epoch 3' in shown and 'PCK 0.250' in shown
    assert 'nothing was learned' not in shown
    show_run(summary._replace(best=0.0), Path('run'))
    assert 'nothing was learned' in capsys.readouterr().out
    show_run(summary._replace(best=float('nan'), curve={}), Path('run'))
    shown = capsys.readouterr().out
    assert 'nan' not in shown and 'best.pth' in shown and 'nothing was learned' not in shown


def test_check_and_preview(own_people, own_run, run_prtr, tmp_path):
    done = run_prtr('check', own_people)
    assert done.exit_code == 0 and '0 errors, 0 warnings' in done.output
    done = run_prtr('preview', own_people, f'out={tmp_path / "a.png"}', 'number=5')
    assert done.exit_code == 0, done.output
    picture = cv2.imread(str(tmp_path / 'a.png'))
    # two rows of four crops of 256x192 with a frame
    assert picture.shape == (2 * 260, 4 * 196, 3)
    content = json.loads((own_people / 'annotations/labels.json').read_text())
    for person in content['annotations']:
        person['keypoints'] = [0] * 15
    bad = tmp_path / 'bad.json'
    bad.write_text(json.dumps(content))
    (tmp_path / 'images').symlink_to(own_people / 'images')
    done = run_prtr('check', bad)
    assert done.exit_code == 1 and 'no person' in done.output


def test_models_and_nearest_names(run_prtr):
    done = run_prtr('models', 'cascade_res50')
    assert done.exit_code == 0
    names = [line.split()[0] for line in done.output.splitlines() if line[0] != ' ']
    assert 'prtr-cascade_res50_8xb2-50e_coco-800x1333' in names
    assert all('cascade_res50' in name for name in names)
    done = run_prtr('models', 'nothing*')
    assert done.exit_code == 1 and 'No model matches' in done.output
    done = run_prtr('train', 'config=td-prtr_res50_4xb32')
    assert done.exit_code == 1
    assert 'Did you mean td-prtr_res50_4xb32-200e_coco-384x288,' in done.output
    assert done.output.count('td-prtr') < 8


def test_export_and_convert(own_run, run_prtr, tmp_path, checkpoint):
    done = run_prtr('export', own_run, tmp_path / 'model.pt')
    assert done.exit_code == 0, done.output
    assert (tmp_path / 'model.pt').is_file() and 'largest differences' in done.output
    done = run_prtr('convert', checkpoint, tmp_path / 'theirs.pth')
    assert done.exit_code == 1 and done.output.startswith('Error: Cannot convert')
    assert not (tmp_path / 'theirs.pth').exists()


@pytest.mark.parametrize(
    'args, message',
    [
        (['train', 'epoch=3'], 'Did you mean epochs=?'),
        (['train', 'ema=perhaps'], 'ema= must be true or false'),
        (['predict', 'prtr-s', 'a.jpg', 'score-thr=a'], "Invalid value for '--score-thr'"),
        (['train'], 'data'),
        (['train', 'data=nowhere'], 'data "/.*nowhere" does not exist'),
        (['train', 'config=prtr-s', 'data=x'], 'Give either data'),
        (['train', 'config=prtr-s', 'flip=a'], 'flip must be true, false or pairs'),
        (['train', 'config=prtr-s', 'size=100x3'], 'size must be height x width'),
        (['predict', 'prtr-s', 'a.jpg'], 'without weights'),
        (['predict', 'nothing.pth', 'a.jpg'], 'does not exist'),
        (['val', 'empty'], 'There is no model'),
        (['val', 'text.jpg'], 'is none of these: the work folder'),
        (['val', 'a.pth', 'weights=b.pth'], 'is a checkpoint already'),
        (['check', 'nowhere'], 'There is no folder or file "nowhere"'),
        (['check', 'nowhere/labels.json'], 'There is no folder or file "nowhere/labels.json"'),
        (['check', 'nowhere.py'], 'config file "nowhere.py" does not exist'),
        (['preview', 'nowhere'], 'There is no folder or file "nowhere"'),
        (['preview', 'prtr-s', 'out=a.foo'], 'must end with one of .png'),
        (['preview', 'prtr-s', 'number=0'], 'must be at least 1'),
        (['preview', 'prtr-s'], 'person_keypoints_train2017.json'),
        (['demo', 'out=text.jpg'], 'is a file'),
        (['demo', 'epochs=0'], 'epochs must be at least 1'),
        (['demo', 'pictures=0'], 'pictures must be at least 1'),
        (['demo', 'device=moon'], "no device 'moon'"),
        (['demo', 'model=prtr'], 'There is no model "prtr"'),
        (['train', 'config=empty.py'], 'is not the config of a model'),
        (['train', 'config=prtr-s', 'device=moon'], "no device 'moon'"),
        (['train', 'config=prtr-s', 'out=text.jpg'], 'is a file'),
    ],
)
def test_bad_input_ends_with_a_sentence(run_prtr, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty.py').touch()
    (tmp_path / 'text.jpg').write_text('no picture')
    done = run_prtr(*args)
    assert done.exit_code != 0 or args == ['train']
    assert re.search(message, ' '.join(done.output.split()).replace(' │ │ ', ' ')), done.output
    assert 'Traceback' not in done.output
    files = sorted(path.name for path in tmp_path.rglob('*') if path.is_file())
    assert files == ['empty.py', 'text.jpg']


def test_long_options_and_diverged_trainings(own_people, run_prtr, monkeypatch, tmp_path):
    sigmas = ','.join(['0.05'] * 133)
    done = run_prtr('train', f'data={own_people}', f'sigmas={sigmas}', f'out={tmp_path / "run"}')
    assert done.exit_code == 1 and 'sigmas' in done.output

    def diverge(*args, **kwargs):
        raise FloatingPointError('Lower the learning rate.')

    monkeypatch.setattr('prtr_plugin.apis.plan_training', diverge)
    done = run_prtr('train', f'data={own_people}', f'out={tmp_path / "run"}')
    assert done.exit_code == 1 and 'Error: Lower the learning rate.' in done.output
