import pytest
import torch
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder
from mmpose.registry import MODELS
from torch.autograd.graph import saved_tensors_hooks

import prtr_plugin  # noqa: F401


def build(**kwargs):
    cfg = dict(
        type='PRTRTransformer',
        in_channels=[16],
        num_queries=5,
        embed_dims=32,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        feedforward_channels=64,
        positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=16),
    )
    torch.manual_seed(0)
    return MODELS.build({**cfg, **kwargs}).double().eval()


def feats(batch_size=2):
    g = torch.Generator().manual_seed(1)
    return (torch.randn(batch_size, 16, 4, 3, generator=g, dtype=torch.double),)


def states(model, *args, **kwargs):
    """The query states; there are no reference points."""
    output = model(*args, **kwargs)
    assert output.references is None and not model.with_references
    return output.hidden_states


def test_post_norm_equals_mmdet():
    """mmdet's unfused DETR layers load the weights and give the outputs."""
    ours = build()
    attn = dict(embed_dims=32, num_heads=4, batch_first=True)
    layer = dict(self_attn_cfg=attn, ffn_cfg=dict(embed_dims=32, feedforward_channels=64))
    encoder = DetrTransformerEncoder(2, layer).double().eval()
    decoder = DetrTransformerDecoder(3, dict(cross_attn_cfg=attn, **layer)).double().eval()
    encoder.load_state_dict(ours.encoder.state_dict())
    decoder.load_state_dict(ours.decoder.state_dict())

    feat = ours.input_proj(feats()[0])
    pos = ours.positional_encoding(torch.zeros(1, 4, 3)).double()
    query_pos = ours.query_embedding.weight
    memory_pos = pos.flatten(2).transpose(1, 2).repeat(2, 1, 1)
    memory = encoder(feat.flatten(2).transpose(1, 2), memory_pos, None)
    expected = decoder(
        memory.new_zeros(2, 5, 32),
        key=memory,
        value=memory,
        query_pos=query_pos.repeat(2, 1, 1),
        key_pos=memory_pos,
        key_padding_mask=None,
    )
    torch.testing.assert_close(states(ours, feats()), expected)


@pytest.mark.parametrize('pre_norm', [False, True])
def test_last_layer_alone_equals_the_last_of_all(pre_norm):
    model = build(pre_norm=pre_norm)
    layers = states(model, feats())
    assert layers.shape == (3, 2, 5, 32)
    last = states(model, feats(), last_layer_only=True)
    torch.testing.assert_close(last, layers[-1:])


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
    together = states(model, feats(3))
    alone = states(model, (feats(3)[0][1:2],))
    torch.testing.assert_close(together[:, 1:2], alone)


def test_without_encoder():
    model = build(num_encoder_layers=0)
    assert not any('encoder' in name for name, _ in model.named_parameters())
    assert states(model, feats()).shape == (3, 2, 5, 32)


def test_dropout_reaches_every_sublayer():
    model = build(dropout=0.3)
    rates = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates <= {0.0, 0.3} and 0.3 in rates
    model.train()
    assert not torch.equal(states(model, feats()), states(model, feats()))


def saved_bytes(model):
    """Bytes kept for the backward pass, and the gradients it gives."""
    sizes = []
    with saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
        loss = states(model, feats()).square().sum()
    loss.backward()
    return sum(sizes), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize('pre_norm', [False, True])
def test_checkpointing_takes_less_memory_and_gives_equal_gradients(pre_norm):
    memory, expected = saved_bytes(build(pre_norm=pre_norm, num_encoder_layers=6).train())
    less, found = saved_bytes(build(pre_norm=pre_norm, num_encoder_layers=6, with_cp=True).train())
    assert less < 0.7 * memory
    for name, grad in found.items():
        torch.testing.assert_close(grad, expected[name], rtol=0, atol=0)


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


@pytest.mark.parametrize(
    'config',
    [
        dict(type='PRTRTransformer'),
        dict(type='DeformablePRTRTransformer', num_points=2),
        dict(type='PixelPRTRTransformer', pixel_channels=8),
    ],
)
def test_pretrained_weights_stay(config, tmp_path):
    """They are not drawn again after they have been read."""
    encoding = dict(type='mmdet.SinePositionalEncoding', num_feats=16)
    sizes = dict(num_queries=5, embed_dims=32, num_heads=4, feedforward_channels=16)
    config = dict(config, in_channels=[6, 8], positional_encoding=encoding, **sizes)
    trained = MODELS.build(config)
    torch.save(trained.state_dict(), tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    model = MODELS.build(dict(config, init_cfg=init_cfg))
    model.init_weights()
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
