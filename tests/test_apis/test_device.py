"""The device that a model runs on."""

import pytest
import torch

from prtr_plugin.apis.device import find_device, use_device


def test_devices():
    assert find_device('cpu') == 'cpu'
    assert find_device(None)
    number = torch.cuda.device_count()
    for device in ('gpu', f'cuda:{number}', 'meta', 'cuda:x', ''):
        with pytest.raises(ValueError, match=f'There is no device {device!r} here. Use cpu'):
            find_device(device)
    with pytest.raises(ValueError, match='no device'), use_device('tpu'):
        pass


def test_a_gpu_is_chosen_for_a_while(monkeypatch):
    chosen = [0]
    monkeypatch.setattr('prtr_plugin.apis.device.find_device', str)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: chosen[-1])
    monkeypatch.setattr(torch.cuda, 'set_device', chosen.append)
    with pytest.raises(KeyError), use_device('cuda:1'):
        assert chosen[-1] == 1
        raise KeyError
    assert chosen == [0, 1, 0]
