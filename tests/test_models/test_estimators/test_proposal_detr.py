import copy
import itertools

import numpy as np
import pytest
import torch
from mmdet.models.layers import coordinate_to_encoding
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

D, Q = 16, 5
ATTENTION = dict(embed_dims=D, num_heads=2, dropout=0.0)
FFN = dict(embed_dims=D, feedforward_channels=32)
CONFIG = dict(
    type='ProposalPersonDETR',
    num_queries=Q,
    backbone=dict(
        type='mmpose.ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3,)
    ),
    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
    decoder=dict(
        num_layers=2, layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN)
    ),
    positional_encoding=dict(num_feats=D // 2, normalize=True),
    bbox_head=dict(type='mmpose.PersonDETRHead', embed_dims=D),
)


def build(**kwargs):
    torch.manual_seed(0)
    cfg = copy.deepcopy({**CONFIG, **kwargs})
    return MODELS.build(cfg).eval()


def sample(valid, padded):
    """``valid`` and ``padded`` places of a map with a stride of 32."""
    return PoseDataSample(
        metainfo=dict(
            img_shape=(valid[0] * 32, valid[1] * 32),
            batch_input_shape=(padded[0] * 32, padded[1] * 32),
        )
    )


def predict(model, feats, samples):
    return model.bbox_head(**model.forward_transformer((feats,), samples))


def test_levels():
    model = build()
    scores, boxes = predict(model, torch.randn(2, D, 3, 4), [sample((3, 4), (3, 4))] * 2)
    assert [s.shape for s in scores] == [(2, 12, 2), (2, Q, 2), (2, Q, 2)]
    assert [b.shape for b in boxes] == [(2, 12, 4), (2, Q, 4), (2, Q, 4)]
    assert 'query_embedding.weight' not in model.state_dict()


@torch.no_grad()
def test_images_do_not_mix():
    """The queries of an image have the positions of its own proposals."""
    model, samples = build(), [sample((3, 4), (3, 4))] * 3
    feats = torch.randn(3, D, 3, 4)
    together = predict(model, feats, samples)
    for i in range(3):
        alone = predict(model, feats[i : i + 1], samples[:1])
        for outputs, others in zip(together, alone):
            for output, other in zip(outputs, others):
                torch.testing.assert_close(output[i], other[0], atol=1e-5, rtol=1e-5)


def test_proposals_are_offsets_to_the_places():
    model = build()
    torch.nn.init.zeros_(model.bbox_head.fc_reg.weight)
    torch.nn.init.zeros_(model.bbox_head.fc_reg.bias)
    valid = (2, 3)
    _, boxes = predict(
        model, torch.randn(2, D, 3, 4), [sample((3, 4), (3, 4)), sample(valid, (3, 4))]
    )
    expected = np.ones((3, 4, 4))
    for i in range(valid[0]):
        for j in range(valid[1]):
            expected[i, j] = ((j + 0.5) / valid[1], (i + 0.5) / valid[0], 0.5, 0.5)
    np.testing.assert_allclose(boxes[0][1].detach().reshape(3, 4, 4), expected, atol=2e-4)


def test_queries_are_the_best_proposals():
    model = build()
    feats = torch.randn(2, D, 3, 4)
    samples = [sample((3, 4), (3, 4))] * 2
    encoder_inputs, _ = model.pre_transformer((feats,), samples)
    encoded = model.forward_encoder(**encoder_inputs)
    decoder_inputs, head_inputs = model.pre_decoder(**encoded)
    scores, boxes = head_inputs['proposals']
    for b in range(2):
        p = scores[b].softmax(-1)[:, 0]
        order = sorted(range(12), key=lambda i: -p[i])[:Q]
        assert torch.equal(decoder_inputs['query'][b], encoded['memory'][b, order])
        assert torch.equal(head_inputs['references'][b], boxes[b, order])
        position = model.query_pos_proj(coordinate_to_encoding(boxes[b : b + 1, order], D // 2))
        torch.testing.assert_close(decoder_inputs['query_pos'][b], position[0])


def test_padding_changes_nothing():
    model = build()
    feats = torch.randn(1, D, 3, 4)
    scores, boxes = predict(model, feats, [sample((3, 4), (3, 4))])
    padded = torch.randn(2, D, 4, 6) * 10  # 10: what is padded would win
    padded[0, :, :3, :4] = feats
    samples = [sample((3, 4), (4, 6)), sample((4, 6), (4, 6))]
    padded_scores, padded_boxes = predict(model, padded, samples)
    for level in (1, 2):
        torch.testing.assert_close(padded_scores[level][:1], scores[level], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(padded_boxes[level][:1], boxes[level], atol=1e-4, rtol=1e-4)


def test_places_are_not_rounded():
    model = build()
    feats, samples = torch.randn(1, D, 3, 50), [sample((3, 45), (3, 50))]
    expected, _ = model.pre_transformer((feats,), samples)
    found, _ = model.pre_transformer((feats.bfloat16(),), samples)
    assert torch.equal(found['anchors'], expected['anchors'])


def test_proposals_are_supervised():
    model = build().train()
    samples = [sample((3, 4), (3, 4))]
    scores, boxes = predict(model, torch.randn(1, D, 3, 4), samples)
    people = [
        InstanceData(bboxes=torch.tensor([[8.0, 10.0, 60.0, 90.0]]), labels=torch.tensor([0]))
    ]
    losses = model.bbox_head.loss_by_feat(scores, boxes, people, [s.metainfo for s in samples])
    names = ('loss_cls', 'loss_bbox', 'loss_iou')
    assert set(losses) == {prefix + name for prefix in ('', 'd0.', 'd1.') for name in names}
    # the naive loss of the proposals: the cheapest place learns the box
    target = torch.tensor([34 / 128, 50 / 96, 52 / 128, 80 / 96])
    distances = (boxes[0][0].detach() - target).abs().sum(-1).tolist()
    loss = losses['d0.loss_bbox'].item()
    assert min(abs(5 * d - loss) for d in distances) < 1e-5
    # the references are constants: a level corrects the one before
    (grad,) = torch.autograd.grad(
        losses['loss_bbox'], model.query_pos_proj.weight, retain_graph=True
    )
    assert grad.abs().max() > 0
    losses['d0.loss_bbox'].backward()
    assert model.query_pos_proj.weight.grad is None
    assert model.encoder.layers[0].ffn.layers[1].weight.grad.abs().max() > 0


def test_fewer_places_than_queries():
    scores, boxes = predict(build(), torch.randn(1, D, 2, 2), [sample((2, 2), (2, 2))])
    assert [s.shape[1] for s in scores] == [4, 4, 4]
    assert boxes[-1].isfinite().all()


@torch.no_grad()
def test_several_proposals_of_a_person():
    """The cheapest ones, each of one person, and one query of each decoder layer."""
    model = build(
        bbox_head=dict(type='mmpose.PersonDETRHead', embed_dims=D, num_proposal_matches=3)
    )
    samples = [sample((3, 4), (3, 4))] * 3
    scores, boxes = predict(model, torch.randn(3, D, 3, 4), samples)
    bboxes = torch.tensor([[8.0, 10.0, 60.0, 90.0], [50.0, 0.0, 120.0, 50.0]])
    people = [
        InstanceData(bboxes=b, labels=b.new_zeros(len(b), dtype=torch.long))
        for b in (bboxes[:1], bboxes[:0], bboxes)
    ]
    metas = [s.metainfo for s in samples]
    proposed, *layers = model.bbox_head.match(scores, boxes, people, metas)

    size = torch.tensor([128.0, 96.0] * 2)
    corners = (
        boxes[0]
        @ torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]])
    ) * size
    costs = [
        sum(
            cost(InstanceData(scores=scores[0][i], bboxes=corners[i]), people[i], metas[i])
            for cost in model.bbox_head.assigner.match_costs
        ).tolist()
        for i in (0, 2)
    ]
    alone = sorted(range(12), key=lambda place: costs[0][place][0])[:3]
    assert sorted(proposed.queries[proposed.images == 0].tolist()) == sorted(alone)
    assert proposed.people.tolist().count(0) == 3
    # of all ways to give three places to each of two people
    best = min(
        sum(costs[1][p][0] for p in a) + sum(costs[1][p][1] for p in b)
        for a in itertools.combinations(range(12), 3)
        for b in itertools.combinations(set(range(12)) - set(a), 3)
    )
    both = [(q, p - 1) for i, q, p in zip(*proposed) if i == 2]
    assert len({q.item() for q, _ in both}) == 6
    assert sum(costs[1][q][p] for q, p in both) == pytest.approx(best, rel=1e-5)
    assert [sorted(layer.people.tolist()) for layer in layers] == [[0, 1, 2]] * 2
    # more places than there are: as many as possible
    model.bbox_head.num_proposal_matches = 9
    proposed = model.bbox_head.match(scores, boxes, people, metas)[0]
    assert proposed.images.tolist() == [0] * 9 + [2] * 12
