"""The heads of mmpose sit on HRNetClsNeck."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

K, SIZE = 5, (96, 128)
CHANNELS = (4, 8, 16, 32)
# codec and head; the map of the neck has 24 channels, 4 rows and 3 columns
HEADS = dict(
    HeatmapHead=(
        dict(type='MSRAHeatmap', input_size=SIZE, heatmap_size=(24, 32), sigma=2),
        dict(
            out_channels=K,
            in_channels=24,
            deconv_out_channels=(16, 16, 16),
            deconv_kernel_sizes=(4, 4, 4),
        ),
    ),
    SimCCHead=(
        dict(type='SimCCLabel', input_size=SIZE, sigma=6.0, simcc_split_ratio=2.0),
        dict(
            out_channels=K,
            in_channels=24,
            input_size=SIZE,
            in_featuremap_size=(3, 4),
            simcc_split_ratio=2.0,
            deconv_out_channels=None,
        ),
    ),
    RTMCCHead=(
        dict(
            type='SimCCLabel',
            input_size=SIZE,
            sigma=6.0,
            simcc_split_ratio=2.0,
            normalize=False,
            use_dark=False,
        ),
        dict(
            out_channels=K,
            in_channels=24,
            input_size=SIZE,
            in_featuremap_size=(3, 4),
            simcc_split_ratio=2.0,
            final_layer_kernel_size=1,
            loss=dict(type='KLDiscretLoss', use_target_weight=True),
        ),
    ),
    IntegralRegressionHead=(
        dict(type='RegressionLabel', input_size=SIZE),
        dict(
            num_joints=K,
            in_channels=24,
            in_featuremap_size=(3, 4),
            deconv_out_channels=(16,),
            deconv_kernel_sizes=(4,),
        ),
    ),
    # these take a vector: of all places, or their mean (below)
    RLEHead=(
        dict(type='RegressionLabel', input_size=SIZE),
        dict(num_joints=K, in_channels=24 * 4 * 3),
    ),
    RegressionHead=(
        dict(type='RegressionLabel', input_size=SIZE),
        dict(num_joints=K, in_channels=24 * 4 * 3),
    ),
)
NECK = dict(
    type='HRNetClsNeck', in_channels=CHANNELS, mid_channels=(8, 16, 32, 64), out_channels=24
)


def branches(num_branches, block):
    channels = CHANNELS[:num_branches]
    return dict(
        num_modules=1,
        num_branches=num_branches,
        block=block,
        num_blocks=(1,) * num_branches,
        num_channels=channels,
    )


def build_estimator(kind):
    codec, head = HEADS[kind]
    extra = dict(
        stage1=dict(branches(1, 'BOTTLENECK')),
        **{f'stage{i}': branches(i, 'BASIC') for i in (2, 3, 4)},
    )
    extra['stage4']['multiscale_output'] = True
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(
            dict(
                type='TopdownPoseEstimator',
                backbone=dict(type='HRNet', extra=extra),
                neck=NECK,
                head=dict(type=kind, decoder=codec, **head),
            )
        )
    model.init_weights()
    return model


def samples(codec, num=2):
    """Targets as mmpose's pipelines would make them."""
    codec = KEYPOINT_CODECS.build(codec)
    out = []
    for keypoints in torch.rand(num, 1, K, 2) * torch.tensor(SIZE):
        encoded = codec.encode(keypoints.numpy())
        sample = PoseDataSample(
            metainfo=dict(
                input_size=SIZE,
                input_center=torch.tensor([48.0, 64.0]).numpy(),
                input_scale=torch.tensor([96.0, 128.0]).numpy(),
            ),
            gt_instances=InstanceData(
                bboxes=torch.tensor([[0, 0, 96, 128.0]]).numpy(), bbox_scores=torch.ones(1).numpy()
            ),
        )
        labels = InstanceData()
        for name, value in encoded.items():
            if name == 'heatmaps':
                sample.gt_fields = PixelData(heatmaps=torch.from_numpy(value))
            else:
                labels.set_field(torch.as_tensor(value), name)
        sample.gt_instance_labels = labels
        out.append(sample)
    return out


@pytest.mark.parametrize('kind', HEADS)
def test_head_on_neck(kind):
    torch.manual_seed(0)
    model = build_estimator(kind)
    data = samples(HEADS[kind][0])
    losses = model(torch.randn(2, 3, 128, 96), data, mode='loss')
    sum(v for name, v in losses.items() if name.startswith('loss')).backward()
    for name, p in model.neck.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
    assert any(p.grad.any() for p in model.backbone.parameters())
    model.eval()
    with torch.no_grad():
        results = model(torch.randn(2, 3, 128, 96), data, mode='predict')
    shapes = [result.pred_instances.keypoints.shape for result in results]
    assert shapes == [(1, K, 2)] * 2


@pytest.mark.parametrize('kind', ['RLEHead', 'RegressionHead'])
def test_head_on_the_mean_of_the_neck(kind):
    """As on mmpose's GlobalAveragePooling, for any size of the map."""
    torch.manual_seed(0)
    neck = MODELS.build(NECK)
    pooling = MODELS.build(dict(type='GlobalAveragePooling'))
    codec, cfg = HEADS[kind]
    with DefaultScope.overwrite_default_scope('mmpose'):
        head = MODELS.build(dict(cfg, type=kind, in_channels=24, decoder=codec))
    for rows, columns in ((32, 24), (48, 40)):
        maps = [torch.randn(2, c, rows >> i, columns >> i) for i, c in enumerate(CHANNELS)]
        losses = head.loss(pooling(neck(maps)), samples(codec), train_cfg={})
        losses['loss_kpt'].backward()
        assert neck.final_layer[0].weight.grad.any()
