import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpose.apis import init_model
from scipy.optimize import linear_sum_assignment

from prtr_plugin.apis import load_config
from prtr_plugin.models.layers import FusedMultiheadAttention
from prtr_plugin.visualization import (
    attend_joints,
    attention_weights,
    draw_attention,
    figure_to_image,
)
from prtr_plugin.visualization.attention import choose_head, weights_at
from prtr_plugin.visualization.layers import record_arguments


@pytest.fixture
def module():
    torch.manual_seed(0)
    module = FusedMultiheadAttention(16, 4).eval()
    # a bias that is not zero, as it is at first
    torch.nn.init.normal_(module.attn.in_proj_bias)
    return module


def naive(module, query, key, query_pos=0, key_pos=0, mask=None):
    """Softmax of scaled products, head by head."""
    w_q, w_k, _ = module.attn.in_proj_weight.chunk(3)
    b_q, b_k, _ = module.attn.in_proj_bias.chunk(3)
    q = (query + query_pos) @ w_q.T + b_q
    k = (key + key_pos) @ w_k.T + b_k
    heads = []
    for i in range(4):
        part = slice(4 * i, 4 * i + 4)
        products = q[..., part] @ k[..., part].transpose(1, 2) / 2
        if mask is not None:
            products[mask[:, None].expand_as(products)] = float('-inf')
        heads.append(products.softmax(dim=-1))
    return torch.stack(heads, dim=1)


@torch.no_grad()
def test_cross_attention(module):
    query, query_pos = torch.randn(2, 3, 16), torch.randn(1, 3, 16)
    key, key_pos = torch.randn(2, 7, 16), torch.randn(1, 7, 16)
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[1, 4:] = True
    weights = attention_weights(
        module, query, key, query_pos=query_pos, key_pos=key_pos,
        key_padding_mask=mask)  # yapf: disable
    assert torch.allclose(weights, naive(module, query, key, query_pos, key_pos, mask), atol=1e-6)
    assert torch.allclose(weights.sum(dim=-1), torch.ones(2, 4, 3))
    assert (weights[1, ..., 4:] == 0).all() and (weights[0] > 0).all()


@torch.no_grad()
def test_self_attention(module):
    query, query_pos = torch.randn(2, 3, 16), torch.randn(1, 3, 16)
    weights = attention_weights(module, query, query_pos=query_pos)
    assert torch.allclose(weights, naive(module, query, query, query_pos, query_pos), atol=1e-6)
    assert torch.allclose(attention_weights(module, query), naive(module, query, query), atol=1e-6)


@torch.no_grad()
def test_weights_give_the_output(module):
    """What the fused kernel returns follows from the weights."""
    query, key = torch.randn(2, 3, 16), torch.randn(2, 7, 16)
    out = module(query, key, identity=torch.zeros(()))
    values = F.linear(key, module.attn.in_proj_weight[32:], module.attn.in_proj_bias[32:])
    values = values.unflatten(-1, (4, 4)).transpose(1, 2)
    mixed = attention_weights(module, query, key) @ values
    assert torch.allclose(out, module.attn.out_proj(mixed.transpose(1, 2).flatten(2)), atol=1e-6)


@torch.no_grad()
def test_weights_of_the_matched_queries(model, batch):
    """Those of the query that the assignment gives to each joint, token by
    token of the 8 x 6 map."""
    people = attend_joints(model, batch)
    inputs = model.data_preprocessor(batch)['inputs']
    transformer = model.head.transformer
    modules = (transformer.decoder.layers[1].cross_attn, transformer.encoder.layers[0].self_attn)
    with record_arguments(*modules) as recorded:
        cls_logits, coords = model.head(model.extract_feat(inputs))
    cross, tokens = (
        attention_weights(m, **{k: v for k, v in recorded[m].items() if k != 'identity'})
        for m in modules
    )
    for b, person in enumerate(people):
        probs = cls_logits[b, :, :-1].softmax(dim=-1).numpy()
        assert person.decoder.shape == (4, 17, 8, 6)
        for q, k in zip(*linear_sum_assignment(probs, maximize=True)):
            assert np.allclose(person.decoder[:, k, 5, 2], cross[b, :, q, 32])
            region = person.sample.input_center - person.sample.input_scale / 2
            keypoint = region + coords[b, q].numpy() * person.sample.input_scale
            assert np.allclose(person.keypoints[k], keypoint, atol=1e-3)
        assert np.allclose(person.encoder[:, 3, 1, 5, 2], tokens[b, :, 19, 32])
        assert np.allclose(person.decoder.sum(axis=(2, 3)), 1, atol=1e-5)


def test_layers_and_heads(model, batch):
    (first,) = attend_joints(model, {k: v[:1] for k, v in batch.items()}, 1)
    (last,) = attend_joints(model, {k: v[:1] for k, v in batch.items()}, 2)
    assert (first.layer, last.layer) == (1, 2)
    assert not np.allclose(first.decoder, last.decoder, atol=1e-4)
    assert not np.allclose(first.keypoints, last.keypoints, atol=1e-2)
    assert (choose_head(last.decoder, 2) == last.decoder[1]).all()
    assert np.allclose(choose_head(last.decoder, None), sum(last.decoder) / 4, atol=1e-6)
    for head in (0, 5):
        with pytest.raises(ValueError, match=f'head must be from 1 to 4, but is {head}'):
            choose_head(last.decoder, head)
    for layer in (0, 3):
        with pytest.raises(ValueError, match=f'^layer must be from 1 to 2, but is {layer}'):
            attend_joints(model, batch, layer)
    with pytest.raises(ValueError, match='encoder_layer must be from 1 to 1, but is 2'):
        attend_joints(model, batch, encoder_layer=2)


def test_attention_at_a_point(model, batch):
    person = attend_joints(model, batch)[0]
    meta = person.sample.metainfo
    corner = meta['input_center'] - meta['input_scale'] / 2
    # the middle of the token in row 3 and column 1
    point = corner + meta['input_scale'] * [1.5 / 6, 3.5 / 8]
    assert (weights_at(person, point, 2) == person.encoder[1, 3, 1]).all()
    for outside in (corner - 1, corner + meta['input_scale'] + 1):
        with pytest.raises(ValueError, match='outside of the crop'):
            weights_at(person, outside, None)
    with pytest.raises(ValueError, match='no encoder'):
        weights_at(person._replace(encoder=None), point, None)


def test_picture(model, batch):
    person = attend_joints(model, batch)[0]
    image = np.zeros((120, 160, 3), dtype=np.uint8)
    figure = draw_attention(
        image,
        person,
        model.dataset_meta,
        joints=['nose', 'left_wrist'],
        point=person.sample.input_center,
    )
    assert figure_to_image(figure).ndim == 3
    titles = [axis.get_title().split('\n') for axis in figure.axes]
    assert [title for title, _ in titles[1:]] == ['nose', 'left wrist']
    largest = person.decoder.mean(axis=0)[9].max()
    assert titles[2][1] == f'largest {largest:.2f}'
    (marker,) = figure.axes[2].lines
    assert np.allclose(marker.get_xydata(), person.keypoints[9])
    everything = draw_attention(image, person, model.dataset_meta, head=1)
    assert len(everything.axes) == 17
    assert 'decoder layer 2, head 1' in everything.get_supxlabel()
    assert 'mean over the heads' in figure.get_supxlabel()


def test_without_encoder(small_config, quick_options, batch):
    options = {**quick_options, 'model.head.transformer.num_encoder_layers': 0}
    model = init_model(load_config(small_config, options), device='cpu', cfg_options={})
    assert attend_joints(model, batch)[0].encoder is None


def test_deformable_attention_is_refused(small_config, quick_options, batch):
    options = {
        **quick_options,
        'model.head.transformer.type': 'DeformablePRTRTransformer',
        'model.head.in_channels': [128],
    }
    model = init_model(load_config(small_config, options), device='cpu', cfg_options={})
    with pytest.raises(TypeError, match='PRTRTransformer, but .* DeformablePRTRTransformer'):
        attend_joints(model, batch)
