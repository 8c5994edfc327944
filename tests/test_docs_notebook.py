"""docs/ten_minutes.ipynb, run from top to bottom with little data."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / 'docs/ten_minutes.ipynb'


def test_it_is_committed_as_written():
    """Without outputs, and with links that lead somewhere."""
    for cell in json.loads(NOTEBOOK.read_text())['cells']:
        assert not cell.get('outputs') and cell.get('execution_count') is None, cell['id']
        if cell['cell_type'] == 'markdown':
            for link in re.findall(r'\]\(([^)\s#]+)', ''.join(cell['source'])):
                assert (NOTEBOOK.parent / link).is_file(), link


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient', reason='needs nbclient and ipykernel (extra dev)')
    pytest.importorskip('ipykernel', reason='needs nbclient and ipykernel (extra dev)')
    nbformat = pytest.importorskip('nbformat')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = (c for c in notebook.cells if 'parameters' in c.metadata.get('tags', []))
    parameters.source = 'pictures, epochs = 12, 1'
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    resources = dict(metadata=dict(path=str(tmp_path)))
    nbclient.NotebookClient(notebook, kernel_name='python3', resources=resources).execute()

    outputs = {c.id: c.outputs for c in notebook.cells if c.cell_type == 'code'}
    text = {
        name: ''.join(output.get('text', '') for output in shown) for name, shown in outputs.items()
    }
    assert '0 mistakes' in text['data'] and 'best coco/AP' in text['train']
    assert text['table'].count('nose') == text['table'].count('left_ankle') > 0
    for cell in ('preview', 'predict'):
        assert any('image/png' in output.get('data', {}) for output in outputs[cell]), cell
    for made in ('people.onnx', 'results.json', 'work_dirs/ten_minutes/report.html'):
        assert (tmp_path / made).is_file(), made
