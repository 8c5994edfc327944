"""Under autocast everything that decides is computed in float32."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from prtr_plugin.apis import load_config

K, H, W = 17, 96, 128


@pytest.fixture(params=['two-stage', 'deformable', 'cascade'])
def model(request, small_config, cascade_config, mmpose_scope):
    torch.manual_seed(0)
    cascade = request.param == 'cascade'
    cfg = load_config(cascade_config if cascade else small_config).model
    if request.param == 'deformable':
        cfg.head.transformer.update(type='DeformablePRTRTransformer', num_feature_levels=2)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def batch(model):
    """Two images, with the labels of both kinds of model."""
    samples = []
    for _ in range(2):
        sample = PoseDataSample(metainfo=dict(img_shape=(H, W), ori_shape=(H, W)))
        box = torch.tensor([[20.0, 10.0, 70.0, 90.0]])
        keypoints = box[:, None, :2] + torch.rand(1, K, 2) * 50
        sample.gt_instance_labels = InstanceData(
            bboxes=box,
            keypoints=keypoints,
            keypoints_visible=torch.ones(1, K),
            keypoint_labels=torch.rand(1, K, 2),
            keypoint_weights=torch.ones(1, K),
        )
        samples.append(sample)
    return torch.randn(2, 3, H, W), samples


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def test_training_step(model):
    inputs, samples = batch(model)
    expected = total(model.loss(inputs, copy.deepcopy(samples)))
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(inputs, samples)
        loss = total(losses)
    assert all(v.dtype == torch.float32 for v in losses.values())
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0)
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in grads)
    assert any(g.abs().max() > 0 for g in grads)


def test_coordinates_are_not_rounded(model):
    inputs, samples = batch(model)
    model.eval()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        outputs = model(inputs, samples, mode='tensor')
    for output in outputs:
        assert output.dtype == torch.float32
        # bfloat16 numbers have 16 more zeros
        assert not torch.equal(output, output.bfloat16().float())


@pytest.mark.parametrize('mixed_precision', [True, False])
def test_mixed_precision_of_the_transformer(model, mixed_precision):
    head = model.head.eval()
    head.mixed_precision = mixed_precision
    # rounded already, as the backbone puts them out
    feats = [torch.randn(2, c, 4, 4).bfloat16() for c in head.transformer.in_channels]
    with torch.no_grad():
        # no coordinates: those of a new deformable head are constants
        expected, _ = head.forward_layers([x.float() for x in feats])
        with torch.autocast('cpu', torch.bfloat16):
            found, _ = head.forward_layers(feats)
    assert torch.equal(found, expected) != mixed_precision


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_large_logits(small_config, mmpose_scope, dtype):
    """Logits at the end of float16's range: no overflow, same matches."""
    torch.manual_seed(0)
    head = MODELS.build(load_config(small_config).model).head
    num_queries = head.num_queries
    logits = (torch.randn(2, 3, num_queries, K + 1) * 2e4).clamp(-6e4, 6e4).to(dtype)
    coords = torch.rand(2, 3, num_queries, 2).to(dtype)
    labels, weights = torch.rand(3, K, 2), torch.ones(3, K)

    expected = head.loss_by_feat(logits.float(), coords.float(), labels, weights)
    with torch.autocast('cpu', torch.bfloat16):
        found = head.loss_by_feat(logits, coords, labels, weights)
    for name, value in found.items():
        assert value.isfinite(), name
        torch.testing.assert_close(value, expected[name])
