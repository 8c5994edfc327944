"""Pictures of the refinement during a training run."""

from types import SimpleNamespace

import cv2
import pytest
from mmengine.visualization.vis_backend import LocalVisBackend
from mmpose.registry import VISBACKENDS
from torch import nn

from prtr_plugin.engine.hooks import PRTRVisualizationHook


@VISBACKENDS.register_module()
class RecordingBackend(LocalVisBackend):
    """Stands in for TensorBoard, which need not be installed."""

    recorded = []

    def add_image(self, name, image, step=0, **kwargs):
        self.recorded.append((name, step, image))


@pytest.fixture
def with_backends(small_config, tmp_path):
    """A function that writes the small config with other backends."""

    def write(*types):
        backends = [dict(type=t) for t in types]
        path = tmp_path / 'config.py'
        path.write_text(f"_base_ = '{small_config}'\nvisualizer = dict(vis_backends={backends})\n")
        return path

    return write


@pytest.fixture
def train(run_tool, with_backends, quick_options, tmp_path):
    """A function that trains for three steps and validates after each of
    them; it returns the result and the paths of the pictures."""

    def run(**hook):
        del RecordingBackend.recorded[:]
        prefix = 'default_hooks.refinement'
        options = {
            **quick_options,
            'train_cfg.max_epochs': 3,
            'train_cfg.val_interval': 1,
            'train_dataloader.batch_size': 8,
            f'{prefix}.type': 'PRTRVisualizationHook',
            **{f'{prefix}.{key}': value for key, value in hook.items()},
        }
        config = with_backends('LocalVisBackend', 'RecordingBackend')
        result = run_tool('train.py', config, '--work-dir', tmp_path, options=options)
        return result, sorted(tmp_path.glob('*/vis_data/vis_image/*.png'))

    return run


def test_pictures(train):
    """Of two people, in the first and third validation, in all backends."""
    result, files = train(enable=True, interval=2, num_pictures=2)
    assert result.code == 0, result.error
    recorded = RecordingBackend.recorded
    names = [f'{name}_{step}.png' for name, step, _ in recorded]
    steps = sorted({step for _, step, _ in recorded})
    assert len(steps) == 2 and steps[1] == 3 * steps[0]
    assert (
        sorted(names)
        == [f.name for f in files]
        == sorted(f'refinement_{i}_{step}.png' for i in range(2) for step in steps)
    )
    for name, image in zip(names, (r[2] for r in recorded)):
        (file,) = (f for f in files if f.name == name)
        assert (cv2.imread(str(file))[..., ::-1] == image).all()
    # the same person after more training
    first, later = (r[2] for r in recorded if r[0] == 'refinement_0')
    assert first.shape == later.shape and (first != later).any()


def test_off_by_default(train):
    result, files = train()
    assert result.code == 0, result.error
    assert not files and not RecordingBackend.recorded


def test_nothing_is_computed_when_off():
    """Not even the arguments are looked at."""
    PRTRVisualizationHook().after_val_iter(None, 0, None, None)


def test_tensorboard(run_tool, with_backends, quick_options, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {
        **quick_options,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.refinement.type': 'PRTRVisualizationHook',
        'default_hooks.refinement.enable': True,
    }
    result = run_tool(
        'train.py', with_backends('TensorboardVisBackend'), '--work-dir', tmp_path, options=options
    )
    assert result.code == 0, result.error
    (events,) = tmp_path.glob('*/vis_data/events.*')
    accumulator = EventAccumulator(str(events)).Reload()
    assert 'refinement_0' in accumulator.Tags()['images']


@pytest.mark.parametrize('name', ['interval', 'num_pictures'])
def test_bad_arguments(name):
    with pytest.raises(ValueError, match=f'{name} .* at least 1.* got 0'):
        PRTRVisualizationHook(**{name: 0})


def test_models_that_cannot_be_drawn():
    """Before the first epoch, not after it."""
    runner = SimpleNamespace(model=nn.Module())
    PRTRVisualizationHook(enable=False).before_run(runner)
    with pytest.raises(TypeError, match='PRTRHead'):
        PRTRVisualizationHook(enable=True).before_run(runner)
