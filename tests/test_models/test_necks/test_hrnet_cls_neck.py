import pytest
import torch
from mmpose.registry import MODELS

import prtr_plugin  # noqa: F401


def build(**kwargs):
    cfg = dict(
        type='HRNetClsNeck', in_channels=(4, 8, 16), mid_channels=(8, 16, 32), out_channels=24
    )
    return MODELS.build({**cfg, **kwargs})


def feats(sizes=((16, 12), (8, 6), (4, 3))):
    return [torch.randn(2, 4 * 2**i, *size) for i, size in enumerate(sizes)]


def test_shape_and_number_of_branches():
    out = build()(feats())
    assert isinstance(out, tuple) and len(out) == 1
    assert out[0].shape == (2, 24, 4, 3)


def test_every_branch_matters():
    neck = build().eval()
    maps = feats()
    base = neck(maps)[0]
    for i in range(3):
        changed = list(maps)
        changed[i] = changed[i] + 1
        assert not torch.allclose(neck(changed)[0], base)


def test_wrong_number_of_maps():
    with pytest.raises(ValueError, match='3 branches but got 2.*multiscale'):
        build()(feats()[:2])


def test_channels_do_not_pair_up():
    with pytest.raises(ValueError, match='in_channels and mid_channels'):
        build(mid_channels=(8, 16))
