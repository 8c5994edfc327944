import pytest
import torch
from mmdet.models.layers import SinePositionalEncoding
from mmpose.registry import MODELS

from prtr_plugin.models.layers import SineLearnedPositionalEncoding


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return MODELS.build(dict(type='SineLearnedPositionalEncoding', num_feats=4, size=(5, 3)))


def test_channels(layer):
    pos = layer(torch.zeros(1, 3, 5))
    assert pos.shape == (1, 16, 3, 5)
    sine = SinePositionalEncoding(4, normalize=True)(torch.zeros(1, 3, 5))
    torch.testing.assert_close(pos[:, :8], sine)
    for y in range(3):
        for x in range(5):
            torch.testing.assert_close(pos[0, 8:12, y, x], layer.y_embed[:, y])
            torch.testing.assert_close(pos[0, 12:, y, x], layer.x_embed[:, x])


def test_parameters(layer):
    shapes = {k: tuple(v.shape) for k, v in layer.named_parameters()}
    assert shapes == dict(x_embed=(4, 5), y_embed=(4, 3))
    layer(torch.zeros(1, 3, 5)).sum().backward()
    assert all(p.grad.abs().min() > 0 for p in layer.parameters())
    assert all(0 <= p.min() and p.max() < 1 for p in layer.parameters())


def test_batch_and_normalize():
    torch.manual_seed(0)
    layer = SineLearnedPositionalEncoding(4, (5, 3), normalize=False)
    pos = layer(torch.zeros(2, 3, 5))
    assert pos.shape == (2, 16, 3, 5)
    sine = SinePositionalEncoding(4)(torch.zeros(2, 3, 5))
    torch.testing.assert_close(pos[:, :8], sine)


def test_smaller_map_gets_the_first_embeddings(layer):
    small = layer(torch.zeros(1, 2, 4))
    full = layer(torch.zeros(1, 3, 5))
    torch.testing.assert_close(small[:, 8:], full[:, 8:, :2, :4])


def test_larger_map(layer):
    with pytest.raises(ValueError, match=r'5x4 .* size=\(5, 3\)'):
        layer(torch.zeros(1, 4, 5))
