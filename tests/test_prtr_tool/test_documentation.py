"""Every command of docs/cli.md, in the order in which they stand there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from helpers.own_people import write_people

TEXT = (Path(__file__).resolve().parents[2] / 'docs/cli.md').read_text()
COMMANDS = [
    line for block in re.findall(r'```shell\n(.*?)```', TEXT, re.S) for line in block.splitlines()
]
PYTHON = re.findall(r'```python\n(.*?)```', TEXT, re.S)
# so that it takes seconds
SHORT = ['device=cpu', 'model.head.transformer.num_encoder_layers=1']


def shorten(args):
    if args[0] == 'page':  # which would stay: tests/test_apis/test_page.py looks at it
        return ['page', '--help']
    if args[0] == 'demo':
        return [*args, 'pictures=4', 'epochs=5', 'device=cpu']
    if args[0] == 'train' and 'resume=true' not in args:
        args = [arg for arg in args if not arg.startswith('epochs=')] + ['epochs=1']
        # weights must fit the model
        return [*args, *(SHORT[:1] if any('init=' in arg for arg in args) else SHORT)]
    return args


@pytest.fixture(scope='module')
def place(tmp_path_factory, manifests):
    """A folder with the files that the page speaks of."""
    folder = tmp_path_factory.mktemp('docs')
    write_people(folder / 'people5', num_images=6)
    first, *_ = sorted((folder / 'people5/images').iterdir())
    shutil.copy(first, folder / 'photo.jpg')
    (folder / 'boxes.csv').write_text(f'file,x1,y1,x2,y2\n{first.name},10,10,60,90\n')
    shapes = manifests['prtr_res50_384x288_coco']
    weights = {key: torch.tensor(0.5).expand(shape) for key, shape in shapes.items()}
    torch.save(dict(state_dict=weights), folder / 'THEIRS.pth')
    return folder


@pytest.mark.slow
def test_commands(place, monkeypatch, run_prtr):
    monkeypatch.chdir(place)
    assert len(COMMANDS) >= 15
    for command in COMMANDS:
        program, *args = shlex.split(command)
        assert program == 'prtr'
        done = run_prtr(*shorten(args))
        assert done.exit_code == 0, f'{command}\n{done.output}\n{done.exception!r}'
    for made in ('people5.png', 'work_dirs/people5/report.html', 'predictions/predictions.csv'):
        assert Path(made).is_file(), made
    for made in (
        'work_dirs/people5/val/report.html',
        'people5.onnx',
        'ours.pth',
        'val/report.html',
    ):
        assert Path(made).is_file(), made


@pytest.mark.slow
def test_python(place, monkeypatch):
    monkeypatch.chdir(place)
    (code,) = PYTHON
    exec(code, {'__name__': 'example'})
    assert Path('drawn.jpg').is_file() and Path('work_dirs/python/report.html').is_file()
