"""Export and inference from the command line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from prtr_plugin.apis import load_model

ROOT = Path(__file__).parents[2]
LAYERS = {
    'model.head.transformer.num_encoder_layers': 1,
    'model.head.transformer.num_decoder_layers': 1,
}


@pytest.fixture(scope='module')
def export(small_config, run_tool, tmp_path_factory):
    """Exports random weights with more arguments; the result and the file."""
    folder = tmp_path_factory.mktemp('export')
    model = load_model(small_config, random_weights=True, device='cpu', cfg_options=LAYERS)
    torch.save(model.state_dict(), folder / 'weights.pth')

    def run(*args, out='model.onnx', weights='weights.pth'):
        result = run_tool(
            'deployment/export_onnx.py',
            small_config,
            folder / weights,
            folder / out,
            '--device=cpu',
            *args,
            options=LAYERS,
        )
        return result, folder / out

    return run


def test_export_and_read(export, run_tool, tmp_path, capsys):
    for package in ('onnx', 'onnxruntime'):
        pytest.importorskip(package)
    result, out = export('--batch-sizes', 1, 2, '--repeats', 1)
    assert result.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('Batch of 1: largest differences cls_logits ')
    assert lines[3].endswith(' times as fast')
    assert lines[4].startswith(f'Wrote {out} (')

    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((40, 30, 3), np.uint8))
    args = ('--with-readout', '--bbox', 0, 0, 9, 9, '--bbox', 5, 0, 20, 30)
    assert run_tool('deployment/onnx_inference.py', out, image, *args).code == 0
    people = json.loads(capsys.readouterr().out)['people']
    assert [person['bbox'] for person in people] == [[0, 0, 9, 9], [5, 0, 20, 30]]


@pytest.mark.parametrize(
    'args, kwargs, message',
    [
        (['--tolerance=-1'], dict(out='a.pt'), 'Error: In a batch of 1 the outputs differ'),
        (
            [],
            dict(out='none.onnx', weights='nothing.pth'),
            'Error: The checkpoint .*nothing.pth does not exist',
        ),
        (
            [],
            dict(out='model.xml'),
            'Error: The output ".*model.xml" must end with one of .onnx, .pt, .pt2',
        ),
    ],
)
def test_errors(export, args, kwargs, message):
    result, out = export('--repeats=0', *args, **kwargs)
    # a sentence, no traceback
    assert result.error is None
    assert re.match(message, result.code)
    assert not out.exists()


def test_no_model_to_read(run_tool):
    pytest.importorskip('onnxruntime')
    result = run_tool('deployment/onnx_inference.py', 'nothing.onnx', 'image.jpg')
    assert result.code == 'Error: The model nothing.onnx does not exist.'


@pytest.mark.parametrize('installed', [False, True])
def test_reading_needs_no_installation(installed, tmp_path):
    """In the repository, or in a package with its tools but not importable."""
    pytest.importorskip('onnxruntime')
    tools = tmp_path / ('somewhere/.mim/tools' if installed else 'tools')
    package = tmp_path / ('somewhere' if installed else 'prtr_plugin')
    for path, folder in (
        ('prtr_plugin/deploy/reader.py', package / 'deploy'),
        ('tools/deployment/onnx_inference.py', tools / 'deployment'),
    ):
        folder.mkdir(parents=True)
        shutil.copy(ROOT / path, folder)
    (package / '__init__.py').write_text('raise ImportError')
    script = tools / 'deployment/onnx_inference.py'
    done = subprocess.run([sys.executable, script, '--help'], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert '--with-readout' in done.stdout
