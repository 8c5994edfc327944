"""The image backbones of mmpose feed both heads, whatever their maps are."""

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

K = 5
# arguments and channels of the maps, whose strides the heads are not told
BACKBONES = [
    ('AlexNet', dict(), [256]),
    ('CSPDarknet', dict(widen_factor=0.25), [64, 128, 256]),
    ('CSPNeXt', dict(widen_factor=0.25, out_indices=(4,)), [256]),
    ('MobileNetV2', dict(out_indices=(4, 7)), [96, 1280]),
    ('MobileNetV3', dict(), [96]),
    ('PyramidVisionTransformer', dict(num_layers=[1, 1, 1, 1]), [64, 128, 320, 512]),
    ('PyramidVisionTransformerV2', dict(num_layers=[1, 1, 1, 1]), [64, 128, 320, 512]),
    ('RegNet', dict(arch='regnetx_400mf', out_indices=(2, 3)), [160, 384]),
    ('ResNeSt', dict(depth=50), [2048]),
    ('ResNet', dict(depth=18, out_indices=(1, 2, 3)), [128, 256, 512]),
    ('ResNetV1d', dict(depth=18), [512]),
    ('SEResNet', dict(depth=50), [2048]),
    ('ShuffleNetV1', dict(), [960]),
    ('ShuffleNetV2', dict(), [1024]),
    ('SwinTransformer', dict(depths=(1, 1, 1, 1)), [96, 192, 384, 768]),
    ('VGG', dict(depth=11, norm_cfg=dict(type='BN')), [512]),
    ('ViPNAS_MobileNetV3', dict(), [160]),
    ('ViPNAS_ResNet', dict(depth=50), [608]),
]


KINDS = ['PRTRTransformer', 'DeformablePRTRTransformer']


def build_head(kind, in_channels):
    return MODELS.build(
        dict(
            type='PRTRHead',
            in_channels=in_channels,
            out_channels=K,
            num_queries=8,
            embed_dims=32,
            transformer=dict(
                type=kind,
                num_encoder_layers=1,
                num_decoder_layers=2,
                num_heads=4,
                feedforward_channels=32,
                positional_encoding=dict(
                    type='mmdet.SinePositionalEncoding', num_feats=16, normalize=True
                ),
            ),
            decoder=dict(type='HungarianKeypointCodec', input_size=(96, 128), num_keypoints=K),
        )
    )


@pytest.mark.parametrize('kind, kwargs, channels', BACKBONES)
def test_backbone(kind, kwargs, channels):
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type=kind, **kwargs))
    backbone.init_weights()
    feats = backbone(torch.randn(2, 3, 128, 96))
    assert [x.shape[1] for x in feats] == channels
    samples = [
        PoseDataSample(
            gt_instance_labels=InstanceData(
                keypoint_labels=torch.rand(1, K, 2), keypoint_weights=torch.ones(1, K)
            )
        )
        for _ in range(2)
    ]
    heads = [build_head(kind, channels) for kind in KINDS]
    losses = [head.loss(feats, samples)['loss_kpt'] for head in heads]
    for head, loss in zip(heads, losses):
        first = next(p for p in backbone.parameters() if p.requires_grad)
        (gradient,) = torch.autograd.grad(loss, first, retain_graph=True)
        assert gradient.isfinite().all() and gradient.any(), head
        keypoints = [p.keypoints for p in head.predict(feats, samples)]
        assert [k.shape for k in keypoints] == [(1, K, 2)] * 2


@pytest.mark.parametrize('kind', KINDS)
def test_wrong_channels(kind):
    head = build_head(kind, [512])
    match = r'in_channels=\[512\] but .*\[64, 256\].*Set in_channels'
    with pytest.raises(ValueError, match=match):
        head((torch.randn(1, 64, 8, 6), torch.randn(1, 256, 4, 3)))
