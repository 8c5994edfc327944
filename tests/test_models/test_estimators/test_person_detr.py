import copy

import pytest
import torch
from mmdet.models.detectors import DETR
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

# mmcv writes a dropout into the default of all later attention layers: 0 here
ATTENTION = dict(embed_dims=16, num_heads=2, dropout=0.0, batch_first=True)
FFN = dict(
    embed_dims=16,
    feedforward_channels=32,
    num_fcs=2,
    ffn_drop=0.1,
    act_cfg=dict(type='ReLU', inplace=True),
)
# written as mmdet writes it
CONFIG = dict(
    num_queries=7,
    backbone=dict(
        type='mmdet.ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3,)
    ),
    neck=dict(
        type='mmdet.ChannelMapper',
        in_channels=[64],
        kernel_size=1,
        out_channels=16,
        act_cfg=None,
        norm_cfg=None,
        num_outs=1,
    ),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN),
        return_intermediate=True,
    ),
    positional_encoding=dict(num_feats=8, normalize=True),
    bbox_head=dict(type='mmpose.PersonDETRHead', num_classes=1, embed_dims=16),
)


def build(**kwargs):
    torch.manual_seed(0)
    cfg = copy.deepcopy({**CONFIG, **kwargs})
    return MODELS.build(dict(type='PersonDETR', **cfg)).eval()


@pytest.mark.parametrize('shapes', [[(96, 128), (64, 100)], [(96, 128)] * 2])
def test_equals_mmdet_with_the_same_weights(shapes):
    ours = build()
    theirs = DETR(**copy.deepcopy(CONFIG)).eval()
    theirs.load_state_dict(ours.state_dict())  # strictly
    images = torch.randn(2, 3, 96, 128)
    samples = [
        PoseDataSample(metainfo=dict(img_shape=shape, batch_input_shape=(96, 128)))
        for shape in shapes
    ]
    with torch.no_grad():
        for a, b in zip(ours._forward(images, samples), theirs._forward(images, samples)):
            assert a.shape[:3] == (3, 2, 7)
            torch.testing.assert_close(a, b)


def test_xavier_initialisation():
    model = build()
    model.init_weights()
    weight = model.decoder.layers[0].cross_attn.attn.out_proj.weight
    bound = (6 / 32) ** 0.5
    assert 0.9 * bound < weight.abs().max() <= bound


def test_other_precision():
    model = build().double()
    samples = [PoseDataSample(metainfo=dict(img_shape=(64, 90), batch_input_shape=(64, 96)))]
    logits, boxes = model._forward(torch.randn(1, 3, 64, 96).double(), samples)
    assert logits.dtype == boxes.dtype == torch.double


def test_proposals_that_do_not_exist():
    head = dict(type='mmpose.PersonDETRHead', embed_dims=16, num_proposal_matches=4)
    with pytest.raises(ValueError, match='num_proposal_matches=4 .*PersonDETR does not have'):
        build(bbox_head=head)


def test_width_of_the_positional_encoding():
    with pytest.raises(ValueError, match='num_feats=16.*embed_dims=16'):
        build(positional_encoding=dict(num_feats=16))
