"""Every tool looks at its outputs before it works."""

import subprocess
from pathlib import Path

import pytest

from prtr_plugin import apis

ROOT = Path(__file__).resolve().parents[2]

# with a config, a checkpoint and an input that do not exist: they must not be looked at before
TOOLS = {
    'test': 'test.py {config} {input} --work-dir {out}/logs --out',
    'test, dump': 'test.py {config} {input} --work-dir {out}/logs --dump',
    'export': 'deployment/export_onnx.py no.py {input}',
    'attention': 'visualizations/attention.py no.py {input}',
    'cascade': 'visualizations/cascade.py no.py {input}',
    'sheet': 'visualizations/prediction_sheet.py no.py {input}',
    'curve': 'analysis_tools/plot_training.py {input}',
    'calibration': 'analysis_tools/plot_calibration.py no.py {input}',
    'subset': 'dataset_tools/coco_subset.py {input}',
    'two_stage': 'model_converters/prtr_to_mmpose.py {input}',
    'detr': 'model_converters/detr_to_prtr_cascade.py {input}',
    'sequential': 'model_converters/sequential_to_prtr_cascade.py {input}',
    'efficientnet': 'model_converters/efficientnet_lite_to_timm.py {input}',
    'map_joints': '../projects/finetune_other_joints/map_joints.py {input} no.py',
    'detector': '../projects/detector_and_pose/cascade_to_detector.py {input}',
    'benchmark': '../projects/speed_benchmark/benchmark.py no.py --out',
}
ENDINGS = dict.fromkeys(TOOLS, '.pth') | {
    'test': '.json',
    'test, dump': '.pkl',
    'export': '.pt',
    **dict.fromkeys(('attention', 'cascade', 'sheet', 'curve', 'calibration'), '.png'),
    **dict.fromkeys(('subset', 'benchmark'), '.json'),
}
AFTER = {tool: ['image.jpg'] for tool in ('attention', 'cascade')}
KNOWN = [name for name, ending in ENDINGS.items() if ending != '.pth']


@pytest.fixture
def run(run_tool, small_config, checkpoint, tmp_path):
    def call(tool, out, *args):
        files = dict(config=small_config, input=tmp_path / 'none', out=tmp_path)
        if tool.startswith('test'):
            files['input'] = checkpoint
        name, *before = (x.format(**files) for x in TOOLS[tool].split())
        done = run_tool(name, *before, out, *AFTER.get(tool, []), *args)
        assert done.error is None and done.code.startswith('Error: ')
        return done.code

    return call


@pytest.mark.parametrize('tool', TOOLS)
def test_outputs_that_exist(run, tool, tmp_path):
    out = tmp_path / f'old{ENDINGS[tool]}'
    out.write_text('precious')
    message = run(tool, out)
    assert f'{out}" exists' in message and '--force' in message
    if not tool.startswith('test'):
        # with it, the next thing that is wrong is the input
        assert 'exists. Give' not in run(tool, out, '--force')
    assert out.read_text() == 'precious'


@pytest.mark.parametrize('tool', TOOLS)
def test_outputs_that_cannot_be_written(run, tool, tmp_path):
    (tmp_path / 'file').touch()
    assert 'file" is a file' in run(tool, tmp_path / 'file' / f'a{ENDINGS[tool]}')


@pytest.mark.parametrize('tool', KNOWN)
def test_unknown_formats(run, tool, tmp_path):
    message = run(tool, tmp_path / 'a.nothing')
    assert 'a.nothing" must end with one of ' in message and ENDINGS[tool] in message


@pytest.mark.parametrize('tool', ['query_statistics', 'refinement'])
def test_folders_that_exist(run_tool, tool, tmp_path):
    (tmp_path / 'mine').touch()
    done = run_tool(f'visualizations/{tool}.py', 'no.py', 'none.pth', tmp_path)
    assert done.code.startswith('Error: ') and 'not empty' in done.code
    done = run_tool(f'visualizations/{tool}.py', 'no.py', 'none.pth', tmp_path, '--force')
    assert 'no.py" does not exist' in done.code


def test_pictures_of_a_test(small_config, checkpoint, tmp_path):
    (tmp_path / 'mine').touch()
    with pytest.raises(FileExistsError, match='not empty'):
        apis.test(small_config, checkpoint, work_dir=str(tmp_path / 'w'), show_dir=str(tmp_path))


@pytest.mark.parametrize('files', [['mine'], ['mine', '.quickstart']])
def test_the_quickstart_deletes_nothing(files, tmp_path):
    """Neither a folder that it did not make, nor one that it made without being asked."""
    out = tmp_path / 'out'
    out.mkdir()
    for name in files:
        (out / name).touch()
    done = subprocess.run(
        ['bash', str(ROOT / 'tools/quickstart.sh')],
        env={'OUT': str(out), 'PATH': '/usr/bin:/bin', 'FORCE': '1' if len(files) == 1 else ''},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 1 and f'Error: {out} exists' in done.stderr
    assert 'new folder' in done.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(files)
