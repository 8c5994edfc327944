import pytest
import torch
import torch.nn.functional as F

from prtr_plugin.models.layers import PixelDecoder


def test_written_out():
    """Enlarge, add the projected map, then residual depthwise separable convolutions."""
    torch.manual_seed(0)
    decoder = PixelDecoder([3, 5], 8, 4, num_blocks=2, kernel_size=3).eval()
    tokens = torch.randn(2, 8, 2, 3)
    feats = torch.randn(2, 3, 7, 12), torch.randn(2, 5, 4, 6)
    x = decoder.token_proj(tokens)
    for i in (1, 0):
        x = F.interpolate(x, feats[i].shape[2:], mode='bilinear')
        x = F.relu(x + decoder.lateral_convs[i](feats[i]))
        for block in decoder.blocks[i]:
            depthwise, pointwise = block.depthwise_conv, block.pointwise_conv
            y = F.conv2d(x, depthwise.conv.weight, depthwise.conv.bias, padding=1, groups=4)
            y = F.conv2d(y, pointwise.conv.weight)
            x = F.relu(x + pointwise.bn(y))
    out = decoder(tokens, feats)
    assert out.shape == (2, 4, 7, 12)
    torch.testing.assert_close(out, x)


def test_without_finer_maps():
    decoder = PixelDecoder([], 8, 4)
    assert decoder(torch.randn(2, 8, 2, 3), ()).shape == (2, 4, 2, 3)


@pytest.mark.parametrize(('num_blocks', 'kernel_size'), [(0, 3), (1, 7), (3, 1)])
def test_blocks_see_as_far_as_their_kernels(num_blocks, kernel_size):
    decoder = PixelDecoder([3], 8, 4, num_blocks, kernel_size).eval()
    feat = torch.zeros(1, 3, 21, 21)
    changed = feat.clone()
    changed[0, :, 10, 10] = 50
    tokens = torch.randn(1, 8, 21, 21)
    seen = (decoder(tokens, (feat,)) != decoder(tokens, (changed,))).any(dim=1)[0]
    rows = seen.any(dim=1).nonzero().flatten()
    reach = num_blocks * (kernel_size // 2)
    assert 10 - reach <= rows.min() and rows.max() <= 10 + reach
    if num_blocks == 1:
        assert rows.max() - rows.min() == 2 * reach


def test_even_kernels():
    with pytest.raises(ValueError, match='kernel_size of PixelDecoder must be odd.* but is 4'):
        PixelDecoder([3], 8, 4, kernel_size=4)
