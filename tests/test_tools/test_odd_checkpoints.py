"""Every tool with files that are no checkpoints: one sentence, and no code is run."""

from pathlib import Path

import pytest
import torch
from mmengine.runner.checkpoint import load_checkpoint
from mmpose.apis import init_model

from helpers.odd_checkpoints import ALL_KINDS, MALICIOUS, write_odd_checkpoint
from prtr_plugin import apis
from prtr_plugin.checkpoints import CheckpointError, trust_checkpoint

ROOT = Path(__file__).resolve().parents[2]
FINETUNE = ROOT / 'projects/finetune_other_joints'
DETECTOR = ROOT / 'projects/detector_and_pose'
IMAGE = DETECTOR / '000001000004.jpg'
OTHER_JOINTS = next(FINETUNE.glob('configs/*.py'))
DETECTOR_CONFIG = next(DETECTOR.glob('configs/*.py'))

# arguments by tool: {config}, {cascade} and {good} are files, {odd} the checkpoint
TOOLS = {
    'test': 'test.py {config} {odd} --work-dir {out}',
    'resume': 'train.py {config} --resume {odd} --work-dir {out}',
    'load_from': 'train.py {config} --work-dir {out} load_from={odd}',
    'init_cfg': 'train.py {config} --work-dir {out} model.backbone.init_cfg.type=Pretrained '
    'model.backbone.init_cfg.checkpoint={odd}',
    'export': 'deployment/export_onnx.py {config} {odd} {out}/a.pt',
    'attention': 'visualizations/attention.py {config} {odd} {out}/a.png {image}',
    'cascade': 'visualizations/cascade.py {cascade} {odd} {out}/a.png {image}',
    'sheet': 'visualizations/prediction_sheet.py {config} {odd} {out}/a.png',
    'queries': 'visualizations/query_statistics.py {config} {odd} {out}',
    'refinement': 'visualizations/refinement.py {config} {odd} {out}',
    'calibration': 'analysis_tools/plot_calibration.py {config} {odd} {out}/a.png',
    'two_stage': 'model_converters/prtr_to_mmpose.py {odd} {out}/a.pth',
    'back': 'model_converters/prtr_to_mmpose.py --reverse {odd} {out}/a.pth',
    'detr': 'model_converters/detr_to_prtr_cascade.py {odd} {out}/a.pth',
    'sequential': 'model_converters/sequential_to_prtr_cascade.py {odd} {out}/a.pth',
    'efficientnet': 'model_converters/efficientnet_lite_to_timm.py {odd} {out}/a.pth',
    'map_joints': '../projects/finetune_other_joints/map_joints.py {odd} {joints} {out}/a.pth',
    'detector': '../projects/detector_and_pose/cascade_to_detector.py {odd} {out}/a.pth',
    'pose': '../projects/detector_and_pose/detect_and_read.py {image} {out} --det-config '
    '{detector} --det-weights {odd} --pose {config} --pose-weights {odd} --device cpu',
}


@pytest.fixture
def run(run_tool, small_config, cascade_config, checkpoint, quick_options, tmp_path):
    """A function that runs one of ``TOOLS`` with a kind of file."""

    def call(tool, kind):
        odd, marker = write_odd_checkpoint(tmp_path, kind, checkpoint)
        files = dict(config=small_config, cascade=cascade_config, odd=odd, out=tmp_path / 'out')
        files.update(image=IMAGE, joints=OTHER_JOINTS, detector=DETECTOR_CONFIG)
        name, *args = (x.format(**files) for x in TOOLS[tool].split())
        options = dict(x.split('=') for x in args if '=' in x)
        args = [x for x in args if '=' not in x]
        if name.startswith(('test', 'train')):
            options = {**quick_options, **options}
        return run_tool(name, *args, options=options), odd, marker

    return call


def check_refused(run, tool, kind):
    done, odd, marker = run(tool, kind)
    assert not marker.exists()
    assert done.error is None and isinstance(done.code, str)
    assert done.code.startswith('Error: ') and str(odd) in done.code
    assert 'weights_only' not in done.code
    assert not list(odd.parent.glob('out/a.*')) and not list(odd.parent.glob('out/*.png'))


@pytest.mark.parametrize('kind', ALL_KINDS)
def test_the_converter_and_every_kind(run, kind):
    """The quickest tool."""
    check_refused(run, 'detector', kind)


@pytest.mark.parametrize('tool', TOOLS)
def test_every_tool_and_a_malicious_file(run, tool):
    check_refused(run, tool, 'malicious')


# a checkpoint of a part of the model is enough to start from, and mmengine fills what fits
FITS = {('init_cfg', 'other model')}


@pytest.mark.slow
@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('kind', ALL_KINDS)
def test_every_tool_and_every_kind(run, tool, kind):
    if (tool, kind) not in FITS:
        check_refused(run, tool, kind)


def load_by_mmengine(config, checkpoint):
    load_checkpoint(apis.load_model(config, random_weights=True, device='cpu'), checkpoint)


ENTRIES = {
    'load_model': lambda config, path: apis.load_model(config, path, 'cpu'),
    'inferencer': lambda config, path: apis.PRTRInferencer(
        config, path, device='cpu', det_model='whole_image'
    ),
    'mmpose': lambda config, path: init_model(config, path, 'cpu'),
    'mmengine': load_by_mmengine,
}


@pytest.mark.parametrize('entry', ENTRIES)
@pytest.mark.parametrize('kind', MALICIOUS)
def test_other_entries(entry, kind, small_config, checkpoint, tmp_path):
    """mmpose's own functions as well, in a process that has imported the plugin."""
    odd, marker = write_odd_checkpoint(tmp_path, kind, checkpoint)
    with pytest.raises(CheckpointError, match='odd.pth"? .*(could run code|cannot be read)'):
        ENTRIES[entry](small_config, str(odd))
    assert not marker.exists()


def test_text_of_a_config_is_not_run(trained_with_text, small_config, quick_options, tmp_path):
    """mmengine would run the one of old versions when it resumes."""
    checkpoint, marker = trained_with_text
    apis.train(
        small_config,
        work_dir=str(tmp_path / 'run'),
        resume=str(checkpoint),
        cfg_options=quick_options,
    )
    assert not marker.exists()


@pytest.fixture
def trained_with_text(checkpoint, tmp_path):
    marker = tmp_path / 'marker'
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['config'] = f'open({str(marker)!r}, "w")\na = 1'
    torch.save(content, tmp_path / 'text.pth')
    return tmp_path / 'text.pth', marker


def test_trust(run_tool, small_config, checkpoint, quick_options, tmp_path):
    """The way on."""
    odd, marker = write_odd_checkpoint(tmp_path, 'malicious', checkpoint)
    options = {**quick_options, 'train_cfg.max_epochs': 1}
    args = ('--resume', odd, '--work-dir', tmp_path / 'run', '--trust', '--no-validate')
    assert run_tool('train.py', small_config, *args, options=options).code == 0
    assert marker.exists()


def test_trusted_by_path(small_config, checkpoint, tmp_path):
    odd, marker = write_odd_checkpoint(tmp_path, 'malicious', checkpoint)
    trust_checkpoint(str(odd))
    model = apis.load_model(small_config, random_weights=True, device='cpu')
    load_checkpoint(model, str(odd))
    assert marker.exists()
