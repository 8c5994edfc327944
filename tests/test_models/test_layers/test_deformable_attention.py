import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention

from prtr_plugin.models.layers import DeformableAttention, FeatureLevels

SIZES = [(5, 4), (3, 2)]


def sequence(maps):
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)


def test_feature_levels():
    levels = FeatureLevels.of([torch.zeros(2, 3, *s) for s in SIZES])
    assert levels.sizes == SIZES
    assert levels.shapes.tolist() == [[5, 4], [3, 2]]
    assert levels.starts.tolist() == [0, 20]
    centers = levels.centers()
    assert centers.shape == (26, 2)
    # the second token of the second row of each level, x before y
    torch.testing.assert_close(centers[4 + 1], torch.tensor([1.5 / 4, 1.5 / 5]))
    torch.testing.assert_close(centers[20 + 2 + 1], torch.tensor([1.5 / 2, 1.5 / 3]))


def test_attention_of_one_query_written_out():
    """Bilinear samples, zeros outside, for each head, level and point."""
    torch.manual_seed(0)
    attn = DeformableAttention(8, num_heads=2, num_levels=2, num_points=3)
    torch.nn.init.normal_(attn.sampling_offsets.weight)
    torch.nn.init.normal_(attn.attention_weights.weight)
    maps = [torch.randn(1, 8, *s) for s in SIZES]
    query, pos = torch.randn(1, 1, 8), torch.randn(1, 1, 8)
    reference = torch.tensor([0.3, 0.8])
    out = attn(
        query,
        sequence(maps),
        query_pos=pos,
        reference_points=reference.view(1, 1, 1, 2),
        levels=FeatureLevels.of(maps),
    )

    q = (query + pos).flatten()
    offsets = attn.sampling_offsets(q).view(2, 2, 3, 2)
    weights = attn.attention_weights(q).view(2, 6).softmax(1).view(2, 2, 3)
    values = [attn.value_proj(x[0].permute(1, 2, 0)) for x in maps]
    total = torch.zeros(2, 4)
    for head in range(2):
        channels = slice(4 * head, 4 * head + 4)
        for level, (h, w) in enumerate(SIZES):
            for point in range(3):
                dx, dy = offsets[head, level, point]
                # centers of cells have whole coordinates
                x = reference[0] * w + dx - 0.5
                y = reference[1] * h + dy - 0.5
                for i in range(h):
                    for j in range(w):
                        share = (1 - abs(x - j)).clamp(0) * (1 - abs(y - i)).clamp(0)
                        total[head] += (
                            weights[head, level, point] * share * values[level][i, j, channels]
                        )
    expected = query.flatten() + attn.output_proj(total.flatten())
    torch.testing.assert_close(out.flatten(), expected)


@pytest.mark.parametrize('with_identity', [False, True])
def test_attention_equals_mmcv(with_identity):
    torch.manual_seed(0)
    ours = DeformableAttention(8, num_heads=2, num_levels=2, num_points=3)
    torch.nn.init.normal_(ours.sampling_offsets.weight)
    torch.nn.init.normal_(ours.attention_weights.weight)
    theirs = MultiScaleDeformableAttention(8, 2, 2, 3, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    maps = [torch.randn(2, 8, *s) for s in SIZES]
    levels = FeatureLevels.of(maps)
    query, pos = torch.randn(2, 7, 8), torch.randn(1, 7, 8)
    points = torch.rand(2, 7, 1, 2)
    kwargs = dict(identity=torch.randn(2, 7, 8)) if with_identity else {}
    expected = theirs(
        query,
        value=sequence(maps),
        query_pos=pos,
        reference_points=points.expand(-1, -1, 2, -1),
        spatial_shapes=levels.shapes,
        level_start_index=levels.starts,
        **kwargs,
    )
    out = ours(
        query, sequence(maps), query_pos=pos, reference_points=points, levels=levels, **kwargs
    )
    torch.testing.assert_close(out, expected)
