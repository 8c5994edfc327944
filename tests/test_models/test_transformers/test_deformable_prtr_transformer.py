import pytest
import torch
from mmdet.models.layers import (
    MLP,
    DeformableDetrTransformerDecoder,
    DeformableDetrTransformerEncoder,
)
from mmengine.model import ModuleList
from mmpose.registry import MODELS

from prtr_plugin.models.layers import DeformableAttention, FeatureLevels

SIZES = [(5, 4), (3, 2)]


def build(seed=0, **kwargs):
    cfg = dict(
        type='DeformablePRTRTransformer',
        in_channels=[6, 8],
        num_queries=5,
        embed_dims=32,
        positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=16),
        num_feature_levels=2,
        num_points=3,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        feedforward_channels=64,
    )
    torch.manual_seed(seed)
    model = MODELS.build({**cfg, **kwargs})
    # as they come offsets and weights are the same for all queries
    for m in model.modules():
        if isinstance(m, DeformableAttention):
            torch.nn.init.normal_(m.sampling_offsets.weight, std=0.1)
            torch.nn.init.normal_(m.attention_weights.weight)
    return model.double().eval()


def feats(batch_size=2):
    g = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch_size, c, *s, generator=g, dtype=torch.double)
        for c, s in zip((6, 8), SIZES)
    ]


def branches(num=3):
    torch.manual_seed(5)
    return ModuleList(MLP(32, 32, 2, 3) for _ in range(num)).double()


def sequence(maps):
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)


@pytest.mark.parametrize('refine', [False, True])
def test_transformer_equals_mmdet(refine):
    """mmdet's unfused layers load the weights and give the outputs."""
    ours = build()
    attn = dict(
        embed_dims=32, num_heads=4, num_levels=2, num_points=3, dropout=0.0, batch_first=True
    )
    ffn = dict(embed_dims=32, feedforward_channels=64)
    encoder = (
        DeformableDetrTransformerEncoder(2, dict(self_attn_cfg=attn, ffn_cfg=ffn)).double().eval()
    )
    decoder = (
        DeformableDetrTransformerDecoder(
            3,
            dict(
                self_attn_cfg=dict(embed_dims=32, num_heads=4, batch_first=True),
                cross_attn_cfg=attn,
                ffn_cfg=ffn,
            ),
            post_norm_cfg=None,
        )
        .double()
        .eval()
    )
    encoder.load_state_dict(ours.encoder.state_dict())
    decoder.load_state_dict(ours.decoder.state_dict())

    maps = ours.input_proj(feats())
    maps_pos = [ours.positional_encoding(torch.zeros(1, *s)).double() for s in SIZES]
    embed = ours.query_embedding.weight
    levels = FeatureLevels.of(maps)
    shapes = dict(
        key_padding_mask=None,
        spatial_shapes=levels.shapes,
        level_start_index=levels.starts,
        valid_ratios=torch.ones(2, 2, 2),
    )
    memory_pos = sequence(
        [p + ours.level_embed[i].view(1, -1, 1, 1) for i, p in enumerate(maps_pos)]
    ).repeat(2, 1, 1)
    memory = encoder(sequence(maps), memory_pos, **shapes)
    query_pos, query = embed[:, :32], embed[:, 32:]
    first = ours.reference_points_fc(query_pos).sigmoid().repeat(2, 1, 1)
    kpt_branches = branches() if refine else None
    expected, later = decoder(
        query.repeat(2, 1, 1),
        query_pos.repeat(2, 1, 1),
        memory,
        reference_points=first,
        reg_branches=kpt_branches,
        **shapes,
    )
    out, references, *_ = ours(feats(), kpt_branches=kpt_branches)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(references, torch.cat((first[None], later[:-1])))
    if refine:
        assert (references[1:] - references[:-1]).abs().max() > 0.02
        references[1:].sum().backward()  # leads nowhere
        assert all(p.grad is None for p in kpt_branches.parameters())


@pytest.mark.parametrize('pre_norm', [False, True])
@pytest.mark.parametrize('refine', [False, True])
def test_last_layer_alone_equals_the_last_of_all(pre_norm, refine):
    model = build(pre_norm=pre_norm)
    kwargs = dict(kpt_branches=branches()) if refine else {}
    layers = model(feats(), **kwargs)
    last = model(feats(), last_layer_only=True, **kwargs)
    for one, all_layers in zip(last[:2], layers[:2]):
        assert len(all_layers) == 3
        torch.testing.assert_close(one, all_layers[-1:])


def test_pre_norm_normalises_the_outputs():
    out = build(pre_norm=True)(feats()).hidden_states
    torch.testing.assert_close(out.mean(-1), torch.zeros(3, 2, 5).double())


def test_checkpointing_gives_equal_gradients():
    grads = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp).train()
        model(feats())[0].square().sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    for name, grad in grads[1].items():
        if grad is not None:
            torch.testing.assert_close(grad, grads[0][name], rtol=0, atol=0)


@pytest.mark.parametrize('num_encoder_layers', [0, 2])
def test_every_parameter_has_a_gradient(num_encoder_layers):
    """Also with no encoder, which the level embedding is for."""
    model = build(num_encoder_layers=num_encoder_layers)
    out, references, *_ = model(feats())
    (out.pow(2).sum() + references.sum()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_images_do_not_see_each_other():
    model = build()
    both = model(feats())[0]
    one = model([x[1:] for x in feats()])[0]
    torch.testing.assert_close(both[:, 1:], one)


def test_initial_weights_are_deformable_detrs():
    model = build()
    model.init_weights()
    attn = model.encoder.layers[0].self_attn
    assert not attn.sampling_offsets.weight.any()
    assert not attn.attention_weights.weight.any()
    # heads look into 4 directions, points at 1, 2, 3 cells
    offsets = attn.sampling_offsets.bias.view(4, 2, 3, 2)
    for head, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        for point in range(3):
            torch.testing.assert_close(
                offsets[head, :, point],
                torch.tensor([[x, y]] * 2).to(offsets) * (point + 1),
                atol=1e-6,
                rtol=0,
            )
    assert not model.reference_points_fc.bias.any()
    assert model.level_embed.std() > 0.5


def test_half_precision_keeps_locations():
    """Under autocast reference points and sampling stay in full precision."""
    model = build().float()
    maps = [x.float() for x in feats()]
    expected, references, *_ = model(maps)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out, half_references, *_ = model(maps)
    torch.testing.assert_close(half_references, references)
    assert (out - expected).abs().mean() < 0.05
    out.float().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
