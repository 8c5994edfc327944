import pytest
import torch
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder

from prtr_plugin.models.layers import PRTRTransformer


def build(**kwargs):
    cfg = dict(num_encoder_layers=2, num_decoder_layers=3, num_heads=4, feedforward_channels=64)
    torch.manual_seed(0)
    return PRTRTransformer(32, **{**cfg, **kwargs}).double().eval()


def inputs(batch_size=2):
    g = torch.Generator().manual_seed(1)
    shapes = (batch_size, 32, 4, 3), (1, 32, 4, 3), (5, 32)
    return [torch.randn(s, generator=g, dtype=torch.double) for s in shapes]


def test_post_norm_equals_mmdet():
    """mmdet's unfused DETR layers load the weights and give the outputs."""
    ours = build()
    attn = dict(embed_dims=32, num_heads=4, batch_first=True)
    layer = dict(self_attn_cfg=attn, ffn_cfg=dict(embed_dims=32, feedforward_channels=64))
    encoder = DetrTransformerEncoder(2, layer).double().eval()
    decoder = DetrTransformerDecoder(3, dict(cross_attn_cfg=attn, **layer)).double().eval()
    encoder.load_state_dict(ours.encoder.state_dict())
    decoder.load_state_dict(ours.decoder.state_dict())

    feats, pos, query_pos = inputs()
    padding = torch.zeros(2, 4, 3, dtype=torch.bool)
    padding[1, 3] = True
    memory_pos = pos.flatten(2).transpose(1, 2).repeat(2, 1, 1)
    memory = encoder(feats.flatten(2).transpose(1, 2), memory_pos, padding.flatten(1))
    expected = decoder(
        memory.new_zeros(2, 5, 32),
        key=memory,
        value=memory,
        query_pos=query_pos.repeat(2, 1, 1),
        key_pos=memory_pos,
        key_padding_mask=padding.flatten(1),
    )
    torch.testing.assert_close(ours(feats, pos, query_pos, padding), expected)


@pytest.mark.parametrize('pre_norm', [False, True])
def test_last_level_alone_equals_the_last_of_all(pre_norm):
    model = build(pre_norm=pre_norm)
    args = inputs()
    levels = model(*args)
    assert levels.shape == (3, 2, 5, 32)
    last = model(*args, return_intermediate=False)
    torch.testing.assert_close(last, levels[-1:])


def test_pre_norm_equals_torch():
    """torch's own pre-norm encoder layer gives the same outputs."""
    model = build(pre_norm=True, num_encoder_layers=1)
    layer = model.encoder.layers[0]
    reference = torch.nn.TransformerEncoderLayer(
        32, 4, 64, dropout=0.0, batch_first=True, norm_first=True
    ).double()
    renamed = {
        key.replace('self_attn.attn', 'self_attn')
        .replace('ffn.layers.0.0', 'linear1')
        .replace('ffn.layers.1', 'linear2')
        .replace('norms.0', 'norm1')
        .replace('norms.1', 'norm2'): value
        for key, value in layer.state_dict().items()
    }
    reference.load_state_dict(renamed)
    x = torch.randn(2, 6, 32, dtype=torch.double)
    torch.testing.assert_close(
        layer(x, torch.zeros(1, 6, 32, dtype=torch.double)), reference.eval()(x)
    )


def test_samples_are_independent():
    model = build()
    feats, pos, query_pos = inputs(3)
    together = model(feats, pos, query_pos)
    alone = model(feats[1:2], pos, query_pos)
    torch.testing.assert_close(together[:, 1:2], alone)


def test_without_encoder():
    model = build(num_encoder_layers=0)
    assert not any('encoder' in name for name, _ in model.named_parameters())
    assert model(*inputs()).shape == (3, 2, 5, 32)


def test_dropout_reaches_every_sublayer():
    model = build(dropout=0.3)
    rates = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates <= {0.0, 0.3} and 0.3 in rates
    model.train()
    args = inputs()
    assert not torch.equal(model(*args), model(*args))


def test_init_weights_is_xavier():
    model = build()
    model.init_weights()
    weight = model.encoder.layers[0].ffn.layers[0][0].weight
    bound = (6 / (32 + 64)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.9 * bound


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(num_heads=5), 'embed_dims=32 is not a multiple of num_heads=5'),
        (dict(num_decoder_layers=0), 'num_decoder_layers'),
    ],
)
def test_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)
