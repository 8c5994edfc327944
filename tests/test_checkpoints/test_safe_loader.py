"""mmengine's loader in a process that has imported the plugin."""

import io
import shutil

import mmengine.runner.checkpoint
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from helpers.odd_checkpoints import MALICIOUS, Malicious, write_odd_checkpoint
from prtr_plugin.checkpoints import CheckpointError, trust_checkpoint


@pytest.fixture
def good(tmp_path):
    path = tmp_path / 'good.pth'
    hub = dict(log_scalars=dict(loss=HistoryBuffer([1.0, 3.0], [1, 1])))
    torch.save(dict(model=dict(a=torch.ones(2)), message_hub=hub, ap=np.float64(0.5)), path)
    return path


@pytest.fixture
def network(monkeypatch, tmp_path):
    """Downloads come from a folder, to another one."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))

    def fetch(url, path, **kwargs):
        shutil.copy(tmp_path / url.split('/')[-1], path)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', fetch)
    models = {'resnet18': 'https://host/odd.pth', 'good': 'https://host/good.pth'}
    monkeypatch.setattr(mmengine.runner.checkpoint, 'get_torchvision_models', lambda: models)


def load(path, **kwargs):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu', **kwargs)


def test_what_training_saves(good):
    """mmengine resumes from its own history, and looks for the state dict by one name."""
    found = load(good)
    history = found['message_hub']['log_scalars']['loss']
    assert isinstance(history, HistoryBuffer) and history.mean() == 2
    assert found['state_dict']['a'].tolist() == [1, 1] and found['ap'] == 0.5


@pytest.mark.parametrize('kind', MALICIOUS)
@pytest.mark.parametrize('url', [None, 'https://host/odd.pth', 'torchvision://resnet18'])
def test_code_is_not_run(good, network, tmp_path, kind, url):
    good = dict(torch.load(good, weights_only=False), state_dict={})
    torch.save(good, tmp_path / 'g.pth')
    odd, marker = write_odd_checkpoint(tmp_path, kind, tmp_path / 'g.pth')
    for _ in range(2):  # the second time from the cache
        with pytest.raises(CheckpointError, match='odd.pth" (holds|cannot be read)'):
            load(url or odd)
    assert not marker.exists()


def test_downloads(good, network):
    for url in ('https://host/good.pth', 'torchvision://good'):
        assert load(url)['ap'] == 0.5


def test_open_files(tmp_path):
    """As remote storage gives them to mmengine."""
    marker = tmp_path / 'marker'
    for content, message in ((Malicious(marker), 'holds a Python object'), (None, 'cannot be')):
        file = io.BytesIO()
        torch.save(content, file) if content else file.write(b'text')
        file.seek(0)
        with pytest.raises(CheckpointError, match=f'"checkpoint" {message}'):
            mmengine.runner.checkpoint.torch.load(file)
    assert not marker.exists()
    assert mmengine.runner.checkpoint.torch.save is torch.save


def test_trust(tmp_path):
    odd, marker = tmp_path / 'odd.pth', tmp_path / 'marker'
    torch.save(Malicious(marker), odd)
    trust_checkpoint(str(odd))
    load(odd)
    assert marker.exists()
