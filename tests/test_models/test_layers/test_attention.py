import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention

from prtr_plugin.models.layers import FusedMultiheadAttention
from prtr_plugin.models.layers.attention import attend


@pytest.fixture
def pair():
    """The fused layer and mmcv's with the same weights."""
    torch.manual_seed(0)
    fused = FusedMultiheadAttention(32, 4).double()
    # mmcv's default for dropout is shared: whoever built one with dropout changed it
    dropout = dict(type='Dropout', drop_prob=0.0)
    plain = MultiheadAttention(32, 4, dropout_layer=dropout, batch_first=True).double()
    plain.load_state_dict(fused.state_dict())
    torch.nn.init.normal_(fused.attn.in_proj_bias)
    plain.load_state_dict(fused.state_dict())
    return fused, plain


def rand(*shape):
    return torch.randn(*shape, dtype=torch.double)


def test_self_attention_equals_mmcv(pair):
    fused, plain = pair
    x, pos = rand(2, 5, 32), rand(1, 5, 32)
    expected = plain(x, query_pos=pos.expand(2, -1, -1), key_pos=pos.expand(2, -1, -1))
    torch.testing.assert_close(fused(x, query_pos=pos), expected)


def test_cross_attention_with_padding_equals_mmcv(pair):
    fused, plain = pair
    x, pos = rand(2, 5, 32), rand(1, 5, 32)
    memory, memory_pos = rand(2, 7, 32), rand(2, 7, 32)
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[0, 4:] = True
    kwargs = dict(key=memory, key_pos=memory_pos, key_padding_mask=mask)
    expected = plain(x, query_pos=pos.expand(2, -1, -1), **kwargs)
    out = fused(x, query_pos=pos, **kwargs)
    torch.testing.assert_close(out, expected)
    # what is masked has no influence
    memory = memory.clone()
    memory[0, 4:] = 100
    torch.testing.assert_close(fused(x, query_pos=pos, **dict(kwargs, key=memory)), out)


def test_positions_do_not_enter_the_values(pair):
    fused, _ = pair
    x = rand(1, 1, 32)  # a single token: the attention weight is 1
    torch.testing.assert_close(fused(x, query_pos=rand(1, 1, 32)), fused(x))


def test_identity_replaces_the_query_in_the_sum(pair):
    fused, _ = pair
    x, other = rand(2, 5, 32), rand(2, 5, 32)
    torch.testing.assert_close(fused(x, identity=other) - other, fused(x) - x)


def test_dropout_only_in_training():
    layer = FusedMultiheadAttention(32, 4, dropout=0.5)
    x = torch.randn(2, 5, 32)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    # mmcv's default arguments must not be shared between layers
    assert FusedMultiheadAttention(32, 4).dropout_layer.p == 0


@pytest.mark.parametrize('requires_grad', [False, True])
@pytest.mark.parametrize('masked', [False, True])
def test_bfloat16(requires_grad, masked):
    """Training in bfloat16 on the CPU goes another way to the same result."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 5, 8).bfloat16()
    mask = torch.rand(2, 1, 1, 5) > 0.3 if masked else None
    weights = q.float() @ k.float().mT / 8**0.5
    if masked:
        weights = weights.masked_fill(~mask, float('-inf'))
    expected = weights.softmax(dim=-1) @ v.float()

    q.requires_grad_(requires_grad)
    with torch.autocast('cpu', torch.bfloat16):
        found = attend(q, k, v, mask, dropout=0.0)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.02)
    if requires_grad:
        found.float().sum().backward()
        assert q.grad.isfinite().all() and q.grad.abs().max() > 0
