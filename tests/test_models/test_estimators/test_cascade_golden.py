"""The authors' sequential network, rebuilt from named weights.

The reference holds the outputs of the published notebook, repaired where its
forward pass fails, for weights that are a function of their names
(``golden.py``): two images of different size in one padded batch, all 100
person queries kept. ``tests/data`` holds 15 of the 100 people, ``persons``.
"""

import copy
import gzip
import json

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from helpers import golden
from prtr_plugin.assignment import batched_linear_assignment
from prtr_plugin.checkpoints import convert_sequential

pytestmark = pytest.mark.slow
NAME = 'prtr_sequential_res50'
# Where the margin of a read-out is smaller, rounding noise decides.
MARGIN = 0.005

FFN = dict(embed_dims=256, feedforward_channels=2048)
ATTENTION = dict(embed_dims=256, num_heads=8)
CONFIG = dict(
    type='PRTRCascade',
    detector=dict(
        type='PersonDETR',
        num_queries=100,
        backbone=dict(
            type='mmpose.ResNet',
            depth=50,
            out_indices=(0, 1, 2, 3),
            frozen_stages=1,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
        ),
        neck=dict(
            type='mmdet.ChannelMapper',
            in_channels=[2048],
            kernel_size=1,
            out_channels=256,
            act_cfg=None,
            norm_cfg=None,
        ),
        encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=ATTENTION, ffn_cfg=FFN)),
        decoder=dict(
            num_layers=6,
            layer_cfg=dict(self_attn_cfg=ATTENTION, cross_attn_cfg=ATTENTION, ffn_cfg=FFN),
        ),
        positional_encoding=dict(num_feats=128, normalize=True),
        bbox_head=dict(type='mmpose.PersonDETRHead'),
    ),
    head=dict(
        type='PRTRHead',
        in_channels=3840,
        out_channels=17,
        embed_dims=512,
        transformer=dict(
            type='PRTRTransformer',
            positional_encoding=dict(type='SineLearnedPositionalEncoding', num_feats=128),
        ),
        decoder=dict(type='HungarianKeypointCodec', input_size=(1, 1), num_keypoints=17),
    ),
    test_cfg=dict(score_thr=0.0, max_persons=100),
)


class Golden:
    """The model with the reference weights, its outputs and the reference."""

    def __init__(self, data_dir):
        self.ref = np.load(data_dir / f'{NAME}.npz')
        self.info = json.loads(str(self.ref['info']))
        with gzip.open(data_dir / 'manifests.json.gz', 'rt') as f:
            manifests = json.load(f)
        # the backbone is that of the two-stage model and listed there
        params = dict(manifests[NAME])
        params.update(
            (key, shape)
            for key, shape in manifests['prtr_res50_384x288_coco']
            if key.startswith('backbone')
        )
        state = {
            key: torch.from_numpy(np.asarray(golden.fill(key, shape)))
            for key, shape in params.items()
        }
        # the sum is the proof that the weights are those of the reference
        self.state_abs_sum = sum(v.double().abs().sum().item() for v in state.values())
        self.model = MODELS.build(CONFIG).eval()
        self.model.load_state_dict(convert_sequential(state))

        inputs = self.info['input']
        self.images = [
            torch.from_numpy(golden.image(i['image_name'], i['shape'])) for i in inputs['images']
        ]
        # bottom and right with zeros
        self.inputs = torch.zeros(inputs['padded_shape'])
        for padded, image in zip(self.inputs, self.images):
            padded[:, : image.shape[1], : image.shape[2]] = image
        self.persons = torch.from_numpy(self.ref['persons'])
        with torch.no_grad():
            self.feats = self.model.extract_feat(self.inputs)
            logits, boxes = self.model.forward_detector(self.feats, self.samples())
            self.logits, self.boxes = logits[-1], boxes[-1]
            self.crops = self.crop(self.persons)
            # (image, person, query, ...)
            self.kpt_logits, coords = (
                x.unflatten(0, (2, -1)) for x in self.model.head((self.crops.flatten(0, 1),))
            )
            self.coords = self.model.crop.to_image(
                coords.flatten(0, 1), self.boxes[:, self.persons].flatten(0, 1)
            ).view_as(coords)

    def samples(self):
        return [
            PoseDataSample(
                metainfo=dict(
                    img_shape=image.shape[1:],
                    ori_shape=(2 * image.shape[1], 2 * image.shape[2]),
                    batch_input_shape=(256, 320),
                )
            )
            for image in self.images
        ]

    def crop(self, persons):
        (crops,) = self.model.crop_people(self.feats, list(self.boxes[:, persons]), self.samples())
        return crops.unflatten(0, (2, -1))

    def close(self, ours, name, tolerance):
        ours = np.asarray(ours)
        np.testing.assert_allclose(ours, self.ref[name], rtol=0, atol=tolerance)


@pytest.fixture(scope='module')
def case(data_dir):
    return Golden(data_dir)


def test_inputs_are_the_reference(case):
    checks = case.info['checks']
    assert case.state_abs_sum == pytest.approx(checks['state_abs_sum'], rel=1e-9)
    for image, expected in zip(case.images, checks['input_abs_sum']):
        assert image.double().abs().sum().item() == pytest.approx(expected, rel=1e-9)


def test_number_of_parameters(case):
    case.model.train()  # marks the frozen stages
    trained = sum(p.numel() for p in case.model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in case.model.parameters() if not p.requires_grad and p.ndim > 1)
    case.model.eval()
    assert trained == case.info['parameters_trainable'] == 87974682
    # batch norms are buffers there
    assert trained + frozen == case.info['parameters_total'] == 88197082


def test_people(case):
    case.close(case.logits, 'pred_logits', 1e-4)
    case.close(case.boxes, 'pred_boxes', 2e-5)


def test_positional_encoding_of_the_padded_images(case):
    encoder, _ = case.model.detector.pre_transformer(
        case.model.detector.neck(case.feats[-1:]), case.samples()
    )
    pos = encoder['feat_pos'].transpose(1, 2).unflatten(-1, (8, 10))
    case.close(pos[:, ::16], 'debug/position3', 1e-5)
    case.close(encoder['feat_mask'].unflatten(1, (8, 10)), 'debug/mask3', 0)


def test_positional_encoding_of_the_crops(case):
    pos = case.model.head.transformer.positional_encoding(torch.zeros(1, 10, 10))
    pos = pos.detach()
    assert pos.shape == (1, 512, 10, 10)
    case.close(pos[:, :256:16], 'pe', 1e-5)
    case.close(pos[:, 256::16], 'learned_pe', 0)


def test_grids(case):
    valid_hw = torch.from_numpy(case.ref['valid_hw'])
    grids = case.model.crop.grids(case.boxes[:, :5], valid_hw)
    case.close(grids, 'grid', 1e-4)


def test_crops(case):
    first = 0
    for level, channels in enumerate((256, 512, 1024, 2048)):
        ours = case.crops[:, :2, first : first + 4]
        reference = case.ref[f'crop/level{level}']
        case.close(ours, f'crop/level{level}', 1e-4 * np.abs(reference).max())
        first += channels
    assert case.crops.shape[2] == first == 3840


def test_keypoints(case):
    case.close(case.coords, 'pred_kpt_coord', 3e-4)
    # the converter made the background, which comes first there, the last
    logits = case.kpt_logits.roll(1, dims=-1)
    case.close(logits[:, :5], 'pred_kpt_logits_first5', 3e-3)
    # stored with 11 bits
    case.close(logits, 'pred_kpt_logits_float16', 3e-3 + 4e-3)


@pytest.mark.parametrize('background', ['first', 'last'])
def test_read_out_of_the_notebook(case, background):
    """The notebook maximises the sum of raw logits, so its read-out is done
    here from our outputs. In its infer() class 0 is the background."""
    logits = case.kpt_logits
    key, margin = 'infer_query', 'infer_margin'
    if background == 'last':
        logits = logits.roll(1, dims=-1)
        key, margin = 'infer_query_if_last_is_background', 'infer_margin_if_last_is_background'
    queries = batched_linear_assignment(-logits[..., :-1].flatten(0, 1).transpose(1, 2))
    queries = queries.numpy().reshape(2, -1, 17)
    clear = case.ref[margin] > MARGIN
    assert clear.mean() > 0.6
    np.testing.assert_array_equal(queries[clear], case.ref[key][clear])
    if background == 'first':
        coords = np.take_along_axis(case.coords.numpy(), queries[..., None], axis=2)
        np.testing.assert_allclose(coords[clear], case.ref['infer'][clear], rtol=0, atol=3e-4)


@pytest.fixture(scope='module')
def everybody(case):
    """The smaller image, padded, with all 100 people kept."""
    return predict(case, 100)


def predict(case, max_persons):
    case.model.test_cfg.update(max_persons=max_persons)
    with torch.no_grad():
        (sample,) = case.model.predict(case.inputs[1:], case.samples()[1:])
    return sample.pred_instances


def test_predict_everybody_in_image_coordinates(case, everybody):
    assert everybody.keypoints.shape == (100, 17, 2)
    scores = case.logits[1].softmax(-1)[:, 0]
    order = scores.argsort(descending=True)
    np.testing.assert_allclose(everybody.bbox_scores, scores[order], rtol=0, atol=1e-5)
    h, w = case.samples()[1].ori_shape
    for i, person in enumerate(case.persons):
        # ours maximises probabilities, the last class is background
        probs = case.kpt_logits[1, i, :, :-1].softmax(-1)
        query = batched_linear_assignment(-probs.T[None])[0]
        place = order.tolist().index(person)
        np.testing.assert_allclose(
            everybody.keypoints[place],
            case.coords[1, i, query] * torch.tensor([w, h]),
            rtol=0,
            atol=3e-4 * w,
        )


def test_people_do_not_depend_on_each_other(case, everybody):
    """The five best of 100 have the outputs that they have alone."""
    five = predict(case, 5)
    assert len(five) == 5
    for key, value in five.items():
        np.testing.assert_allclose(value, everybody[key][:5], rtol=1e-4, atol=1e-3, err_msg=key)


def test_float64(case):
    """Without rounding noise the two agree to 12 digits."""
    model = copy.deepcopy(case.model).double()
    with torch.no_grad():
        feats = model.extract_feat(case.inputs.double())
        logits, boxes = model.forward_detector(feats, case.samples())
        people = boxes[-1, :, :2]
        kpt_logits, coords = model.head(model.crop_people(feats, list(people), case.samples()))
        coords = model.crop.to_image(coords, people.flatten(0, 1))
    case.close(logits[-1, :, ::10], 'float64/pred_logits', 1e-5)
    case.close(boxes[-1, :, ::10], 'float64/pred_boxes', 1e-5)
    case.close(coords.unflatten(0, (2, 2)), 'float64/pred_kpt_coord_first5', 1e-5)
    case.close(
        kpt_logits.unflatten(0, (2, 2)).roll(1, dims=-1), 'float64/pred_kpt_logits_first5', 1e-5
    )
