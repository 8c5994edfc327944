import torch
import torch.nn.functional as F

from prtr_plugin.models.layers import PixelDecoder


def test_written_out():
    torch.manual_seed(0)
    decoder = PixelDecoder([3, 5], 8, 4, dict(type='BN')).eval()
    tokens = torch.randn(2, 8, 2, 3)
    feats = torch.randn(2, 3, 7, 12), torch.randn(2, 5, 4, 6)
    x = decoder.token_proj(tokens)
    for i in (1, 0):
        x = F.interpolate(x, feats[i].shape[2:], mode='bilinear')
        x = x + decoder.lateral_convs[i](feats[i])
        x = decoder.output_convs[i](x)
    out = decoder(tokens, feats)
    assert out.shape == (2, 4, 7, 12)
    torch.testing.assert_close(out, decoder.pixel_proj(x))


def test_without_finer_maps():
    decoder = PixelDecoder([], 8, 4, dict(type='BN'))
    assert decoder(torch.randn(2, 8, 2, 3), ()).shape == (2, 4, 2, 3)
