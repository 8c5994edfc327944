import copy

import numpy as np
import pytest
import torch
from torch import nn

from prtr_plugin.visualization import read_layers
from prtr_plugin.visualization.layers import record_arguments, record_results


def test_layers_are_read_out_one_by_one(model, batch):
    """As decoding each layer of each crop on its own does."""
    outputs = read_layers(model, batch)
    inputs = model.data_preprocessor(batch)['inputs']
    with torch.no_grad():
        layers = model.head.forward_layers(model.extract_feat(inputs))
    assert outputs.keypoints.shape == (2, 3, 17, 2)
    for b, sample in enumerate(outputs.data_samples):
        for i, (cls_logits, coords) in enumerate(zip(*layers)):
            found, _ = model.head.decoder.decode(cls_logits[b], coords[b])
            x = found[0, :, 0] / 96 * sample.input_scale[0]
            y = found[0, :, 1] / 128 * sample.input_scale[1]
            corner = sample.input_center - sample.input_scale / 2
            expected = np.stack((x, y), axis=1) + corner
            assert np.allclose(outputs.keypoints[i, b], expected, atol=1e-3)
            answering = coords[b, outputs.queries[i, b]] * torch.tensor([96, 128])
            assert np.allclose(answering, found[0], atol=1e-4)


@pytest.mark.parametrize('name', ['model', 'plus'])
def test_last_layer_is_the_prediction(name, batch, monkeypatch, request):
    model = request.getfixturevalue(name)
    monkeypatch.setitem(model.test_cfg, 'flip_test', False)
    first, last = read_layers(model, batch).keypoints
    with torch.no_grad():
        predicted = model.test_step(copy.deepcopy(batch))
    for i, sample in enumerate(predicted):
        assert np.allclose(last[i], sample.pred_instances.keypoints[0], atol=1e-3)
        assert not np.allclose(first[i], last[i], atol=1e-3)


def test_other_models_are_refused(cascade, batch):
    with pytest.raises(TypeError, match='PRTRCascade with PRTRHead'):
        read_layers(cascade, batch)


def test_recording_leaves_no_trace():
    """The arguments of the last call inside of the context, by their names."""

    class Sum(nn.Module):
        def forward(self, a, b=None, *, c=None):
            return a + (b or 0) + (c or 0)

    first, second, unused = Sum(), Sum(), Sum()
    with record_arguments(first, unused) as recorded:
        assert first(9) == 9
        assert first(1, c=2) == 3
        assert second(4) == 4
    assert first(5, 6) == 11
    assert recorded == {first: dict(a=1, c=2)}
    with pytest.raises(TypeError), record_arguments(first):
        first()
    assert not first._forward_pre_hooks


def test_results_are_those_of_the_last_call():
    first, second = nn.Identity(), nn.ReLU()
    with record_results(first, second) as recorded:
        first(torch.ones(1))
        first(torch.zeros(1))
    second(torch.ones(1))
    assert recorded == {first: torch.zeros(1)} and not first._forward_hooks
