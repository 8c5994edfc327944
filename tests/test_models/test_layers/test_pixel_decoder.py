import torch
import torch.nn.functional as F

from prtr_plugin.models.layers import PixelDecoder


def test_written_out():
    """Double the size, normalise, and add the projected map."""
    torch.manual_seed(0)
    decoder = PixelDecoder([3, 5], 8, 4).eval()
    tokens = torch.randn(2, 8, 2, 3)
    # the second step does not double the height
    feats = torch.randn(2, 3, 7, 12), torch.randn(2, 5, 4, 6)
    x = decoder.token_proj(tokens)
    for i in (1, 0):
        deconv = decoder.deconvs[i]
        x = deconv.bn(F.conv_transpose2d(x, deconv.conv.weight, stride=2, padding=1))
        if i == 0:
            assert x.shape[2:] == (8, 12)
            x = F.interpolate(x, (7, 12), mode='bilinear')
        x = F.relu(x + decoder.lateral_convs[i](feats[i]))
    out = decoder(tokens, feats)
    assert out.shape == (2, 4, 7, 12)
    torch.testing.assert_close(out, x)


def test_without_finer_maps():
    decoder = PixelDecoder([], 8, 4)
    assert decoder(torch.randn(2, 8, 2, 3), ()).shape == (2, 4, 2, 3)
