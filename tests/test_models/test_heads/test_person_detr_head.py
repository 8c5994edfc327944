import pytest
import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmpose.registry import MODELS

import prtr_plugin  # noqa: F401
from prtr_plugin.models.heads.person_detr_head import ASSIGNER

METAS = [dict(img_shape=(80, 100)), dict(img_shape=(60, 100))]
PEOPLE = [[[10.0, 10.0, 30.0, 60.0], [50.0, 5.0, 90.0, 75.0]], [[0.0, 0.0, 40.0, 60.0]]]


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='PersonDETRHead', embed_dims=16, **kwargs))


def instances(boxes=PEOPLE):
    return [
        InstanceData(
            bboxes=torch.tensor(b).reshape(-1, 4), labels=torch.zeros(len(b), dtype=torch.long)
        )
        for b in boxes
    ]


def outputs(num_queries=6, num_levels=2):
    g = torch.Generator().manual_seed(1)
    logits = torch.randn(num_levels, 2, num_queries, 2, generator=g)
    boxes = torch.rand(num_levels, 2, num_queries, 4, generator=g)
    return logits.requires_grad_(), boxes.requires_grad_()


def test_losses_without_crowds_are_those_of_mmdet():
    parent = DETRHead(
        num_classes=1,
        embed_dims=16,
        # mmdet writes into its default
        loss_cls=dict(
            type='CrossEntropyLoss',
            bg_cls_weight=0.1,
            use_sigmoid=False,
            loss_weight=1.0,
            class_weight=1.0,
        ),
        train_cfg=dict(assigner=ASSIGNER),
    )
    expected = parent.loss_by_feat(*outputs(), instances(), METAS)
    assert len(expected) == 6
    for ignored in (None, instances([[], []])):
        losses = build().loss_by_feat(*outputs(), instances(), METAS, ignored)
        for key, value in expected.items():
            torch.testing.assert_close(losses[key], value)


def test_predictions_are_those_of_mmdet():
    """With the arguments that query selection adds, too."""
    head = build()
    hidden = torch.randn(2, 2, 6, 16, generator=torch.manual_seed(2))
    samples = [DetDataSample(metainfo=meta) for meta in METAS]
    for sample in samples:
        sample.set_metainfo(dict(scale_factor=(0.5, 0.5)))
    expected = DETRHead.predict(head, hidden, samples)
    for kwargs in (dict(), dict(proposals=outputs()[:1] * 2)):
        found = head.predict(hidden, samples, **kwargs)
        for result, other in zip(found, expected):
            torch.testing.assert_close(result.bboxes, other.bboxes)
            torch.testing.assert_close(result.scores, other.scores)
    small = head.predict(hidden, samples, rescale=False)
    torch.testing.assert_close(small[0].bboxes * 2, expected[0].bboxes)
    moved = head.predict(hidden, samples, references=torch.rand(2, 6, 4))
    assert (moved[0].bboxes != expected[0].bboxes).any()


def test_weight_of_none():
    logits, boxes = outputs()
    losses = [
        build(loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=w)).loss_by_feat(
            logits, boxes, instances([[], []]), METAS
        )['loss_cls']
        for w in (0.1, 1.0)
    ]
    # twelve queries, all negative
    plain = -logits[-1].log_softmax(-1)[..., 1].mean()
    torch.testing.assert_close(losses[1], plain)
    torch.testing.assert_close(losses[0], plain)  # weighted mean of equals
    assert build().bg_cls_weight == 0.1


def crowd_case(share):
    """One positive, and a negative with this share inside of a crowd."""
    logits = torch.tensor([[0.5, 0.2], [1.0, -1.0], [0.3, 0.1]])
    boxes = torch.tensor(
        [
            [0.2, 0.4375, 0.2, 0.625],  # the person
            [0.6, 0.5, 0.2, 0.5],  # x from 50 to 70, y from 20 to 60
            [0.9, 0.1, 0.1, 0.1],
        ]
    )
    crowd = InstanceData(bboxes=torch.tensor([[50.0, 0.0, 50 + 20 * share, 80.0]]))
    logits, boxes = logits[None, None], boxes[None, None]
    return (
        logits.requires_grad_(),
        boxes.requires_grad_(),
        instances(PEOPLE[:1])[:1],
        METAS[:1],
        [crowd],
    )


@pytest.mark.parametrize(
    'share, thr, ignored', [(0.6, 0.5, True), (0.4, 0.5, False), (0.6, 0.7, False)]
)
def test_crowds_are_neither_positive_nor_negative(share, thr, ignored):
    logits, boxes, people, metas, crowds = crowd_case(share)
    people = [people[0][:1]]
    head = build(ignore_iof_thr=thr)
    loss = head.loss_by_feat(logits, boxes, people, metas, crowds)['loss_cls']
    loss.backward()
    grad = logits.grad[0, 0].abs().sum(-1)
    assert (grad[1] == 0) == ignored
    assert grad[0] > 0 and grad[2] > 0
    # the weighted mean over the queries that count
    weight = torch.tensor([1, 0 if ignored else 0.1, 0.1])
    log_probs = logits[0, 0].log_softmax(-1)
    log_probs = torch.stack((log_probs[0, 0], *log_probs[1:, 1]))
    expected = -(weight * log_probs).sum() / weight.sum()
    torch.testing.assert_close(loss, expected)


def test_a_person_in_a_crowd_stays_positive():
    logits, boxes, people, metas, _ = crowd_case(0)
    everywhere = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 100.0, 80.0]]))
    head = build()
    losses = head.loss_by_feat(logits, boxes, [people[0][:1]], metas, [everywhere])
    torch.testing.assert_close(losses['loss_cls'], -logits[0, 0, 0].log_softmax(-1)[0])
    assert losses['loss_bbox'] < 1e-5


def test_nothing_but_crowd():
    logits, boxes = outputs()
    crowds = instances([[[0.0, 0.0, 200.0, 200.0]]] * 2)
    losses = build().loss_by_feat(logits, boxes, instances([[], []]), METAS, crowds)
    assert all(v.isfinite() for v in losses.values())
    sum(losses.values()).backward()
    assert boxes.grad.abs().sum() == 0


@pytest.mark.parametrize('num_queries', [6, 1])
def test_match_is_that_of_mmdet(num_queries):
    """One layer of one image at a time, by mmdet's assigner."""
    logits, boxes = outputs(num_queries)
    head, people = build(), instances()
    layers = head.match(logits, boxes, people, METAS)
    assert len(layers) == len(logits)
    for layer, matches in enumerate(layers):
        expected = []
        for i, (gt, meta) in enumerate(zip(people, METAS)):
            h, w = meta['img_shape']
            cx, cy, bw, bh = boxes[layer, i].detach().unbind(-1)
            corners = ((cx - bw / 2) * w, (cy - bh / 2) * h, (cx + bw / 2) * w, (cy + bh / 2) * h)
            pred = InstanceData(scores=logits[layer, i], bboxes=torch.stack(corners, -1))
            gt_inds = head.assigner.assign(pred, gt, meta).gt_inds
            start = sum(map(len, people[:i]))
            expected += [
                (i, q, start + person - 1) for q, person in enumerate(gt_inds.tolist()) if person
            ]
        assert list(zip(*(indices.tolist() for indices in matches))) == expected
        assert len(expected) == sum(min(num_queries, len(gt)) for gt in people)


@pytest.mark.parametrize('num_people', [0, 2])
def test_non_finite_predictions(num_people):
    logits, boxes = (x.detach() for x in outputs())
    people = instances([PEOPLE[0][:num_people]] * 2)
    logits[-1, 1, 0] = float('nan')
    with pytest.raises(FloatingPointError, match='PersonDETRHead predicted NaN'):
        build().loss_by_feat(logits, boxes, people, METAS)
