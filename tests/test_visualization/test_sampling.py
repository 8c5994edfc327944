import numpy as np
import pytest
import torch
from mmpose.apis import init_model
from scipy.optimize import linear_sum_assignment

from prtr_plugin.apis import load_config
from prtr_plugin.visualization import draw_sampling, figure_to_image, sample_joints


@pytest.fixture(scope='module')
def deformable(small_config, quick_options):
    """A deformable model with two feature levels of 8 x 6 and 4 x 3."""
    options = {
        **quick_options,
        'model.head.transformer.type': 'DeformablePRTRTransformer',
        'model.head.in_channels': [128],
        'model.head.transformer.num_feature_levels': 2,
    }
    model = init_model(load_config(small_config, options), device='cpu', cfg_options={})
    model.init_weights()
    # weights and offsets that depend on the query
    for layer in model.head.transformer.decoder.layers:
        for linear in (layer.cross_attn.sampling_offsets, layer.cross_attn.attention_weights):
            torch.nn.init.normal_(linear.weight, std=0.1)
    return model


def test_points_give_the_output(deformable, batch):
    """What the cross-attention of the last layer puts out follows from the
    recorded locations: bilinear samples of the values, weighted."""
    attn = deformable.head.transformer.decoder.layers[1].cross_attn
    seen = []
    hook = attn.register_forward_hook(
        lambda _, args, kwargs, out: seen.append((kwargs, out)), with_kwargs=True
    )
    people = sample_joints(deformable, batch)
    hook.remove()
    kwargs, out = seen[0]
    with torch.no_grad():
        values = attn.value_proj(kwargs['key']).unflatten(-1, (4, 32))
        cls_logits, _ = deformable.head(
            deformable.extract_feat(deformable.data_preprocessor(batch)['inputs'])
        )
        maps = [
            x.transpose(1, 2).unflatten(-1, size).flatten(0, 1)
            for x, size in zip(values.flatten(2).split((48, 12), dim=1), ((8, 6), (4, 3)))
        ]
    for b, person in enumerate(people):
        probs = cls_logits[b, :, :-1].softmax(dim=-1).numpy()
        queries, joints = linear_sum_assignment(probs, maximize=True)
        meta = person.sample.metainfo
        corner = meta['input_center'] - meta['input_scale'] / 2
        locations = (person.locations - corner) / meta['input_scale'] * 2 - 1
        assert locations.shape == (17, 4, 2, 4, 2)
        assert np.allclose(person.weights.sum(axis=(2, 3)), 1, atol=1e-5)
        mixed = torch.zeros(17, 4, 32)
        for i in range(2):
            for h in range(4):
                values = maps[i].unflatten(0, (3, 128))[b, 32 * h : 32 * h + 32]
                grid = torch.from_numpy(locations[:, h, i]).float()
                sampled = torch.nn.functional.grid_sample(
                    values[None], grid[None], align_corners=False
                )[0]
                weights = torch.from_numpy(person.weights[:, h, i])
                mixed[:, h] += (sampled * weights).sum(dim=-1).T
        with torch.no_grad():
            expected = attn.output_proj(mixed.flatten(1))
        got = torch.empty_like(expected)
        got[joints] = (out[b] - kwargs['identity'][b])[queries]
        assert torch.allclose(got, expected, atol=1e-4)


def test_layers(deformable, batch):
    first, last = (sample_joints(deformable, batch, i)[0] for i in (1, 2))
    assert (first.layer, last.layer) == (1, 2)
    assert not np.allclose(first.weights, last.weights, atol=1e-3)
    with pytest.raises(ValueError, match='layer must be from 1 to 2, but is 3'):
        sample_joints(deformable, batch, 3)
    hooks = [m._forward_pre_hooks for m in deformable.modules()]
    assert not any(hooks)


def test_picture(deformable, batch):
    person = sample_joints(deformable, batch)[0]
    image = np.zeros((120, 160, 3), dtype=np.uint8)
    meta = deformable.dataset_meta
    figure = draw_sampling(image, person, meta, joints=['nose', 'left_wrist'])
    assert figure_to_image(figure).ndim == 3
    assert [a.get_title() for a in figure.axes] == ['nose', 'left wrist']
    # one collection for each feature level, of four heads with four points
    points = figure.axes[1].collections[1].get_offsets()
    assert np.allclose(points, person.locations[9, :, 1].reshape(16, 2))
    one = draw_sampling(image, person, meta, head=3)
    points = one.axes[9].collections[1].get_offsets()
    assert np.allclose(points, person.locations[9, 2, 1])
    with pytest.raises(ValueError, match='head must be from 1 to 4, but is 5'):
        draw_sampling(image, person, meta, head=5)


def test_other_heads_are_refused(model, cascade, batch):
    with pytest.raises(TypeError, match='with DeformablePRTRTransformer, but .* PRTRTransformer'):
        sample_joints(model, batch)
    with pytest.raises(TypeError, match='TopdownPoseEstimator .* PRTRCascade'):
        sample_joints(cascade, batch)
