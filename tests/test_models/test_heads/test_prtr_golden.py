"""The authors' networks, rebuilt from named weights, give their numbers.

The references hold outputs, matching, losses, gradients and read-out of the
authors' code for weights that are a function of their names (``golden.py``).
"""

import copy
import gc
import gzip
import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from torch.nn.modules.batchnorm import _BatchNorm

from helpers import golden
from prtr_plugin.checkpoints import convert_two_stage, two_stage
from prtr_plugin.checkpoints.renaming import rename

pytestmark = pytest.mark.slow
DEFORMABLE = 'deform_prtr_res50_384x288_coco'
NAMES = ['prtr_res50_384x288_coco', 'prtr_hrnet_w32_384x288_coco', DEFORMABLE]
CODEC = dict(type='HungarianKeypointCodec', input_size=(288, 384), num_keypoints=17)


class Golden:
    """A model with the reference weights, its outputs and the reference."""

    def __init__(self, name, data_dir, rules):
        self.ref = np.load(data_dir / f'{name}.npz')
        self.info = json.loads(str(self.ref['info']))
        with gzip.open(data_dir / 'manifests.json.gz', 'rt') as f:
            params = json.load(f)[name]
        state = {
            key: torch.from_numpy(np.asarray(golden.fill(key, shape))) for key, shape in params
        }
        # the sum is the proof that the weights are those of the reference
        self.state_abs_sum = sum(v.double().abs().sum().item() for v in state.values())
        # names of the parameters that have a reference gradient
        keys = [
            name[len('grad_norm/') :] for name in self.ref.files if name.startswith('grad_norm/')
        ]
        self.our_keys = dict(zip(keys, rename(dict.fromkeys(keys), rules, '')))
        state = convert_two_stage(state)
        config = two_stage.infer_model(state)
        config['head']['decoder'] = CODEC
        # with fewer gigabytes of activations; see backward() as well
        config['backbone']['with_cp'] = True
        config['head']['transformer']['with_cp'] = True
        config['test_cfg'] = dict(flip_test=True)
        self.model = MODELS.build(config).eval()
        self.model.load_state_dict(state)
        # marks what is trained (frozen stages lose requires_grad)
        self.model.backbone.train()
        self.model.eval()
        inputs = self.info['input']
        self.image = torch.from_numpy(golden.image(inputs['image_name'], inputs['shape']))
        with torch.no_grad():
            self.outputs = self.model.head.forward_layers(self.model.extract_feat(self.image))

    @property
    def targets(self):
        return (
            torch.from_numpy(self.ref['targets']),
            torch.from_numpy(self.ref['target_weights'])[..., 0],
        )

    def tensor(self, name):
        return torch.from_numpy(self.ref[name])


@pytest.fixture(autouse=True)
def collect_garbage():
    """Models and graphs refer to themselves, and stay until somebody looks."""
    yield
    gc.collect()


@pytest.fixture(scope='module', params=NAMES)
def case(request, data_dir):
    # one at a time: that of the last parameter is garbage now
    gc.collect()
    deformable = request.param == DEFORMABLE
    rules = two_stage.DEFORMABLE_RULES if deformable else two_stage.RULES
    return Golden(request.param, data_dir, rules)


def test_inputs_are_the_reference(case):
    checks = case.info['checks']
    assert case.state_abs_sum == pytest.approx(checks['state_abs_sum'], rel=1e-9)
    assert case.image.double().abs().sum().item() == pytest.approx(
        checks['input_abs_sum'], rel=1e-9
    )


def test_parameter_count(case):
    norms = [m for m in case.model.modules() if isinstance(m, _BatchNorm)]
    # which are buffers there, but for HRNet
    frozen = {p for m in norms for p in m.parameters() if not p.requires_grad}
    params = set(case.model.parameters()) - frozen
    assert sum(p.numel() for p in params) == case.info['parameters_total']


@pytest.mark.parametrize('case', [DEFORMABLE], indirect=True)
def test_reference_points(case):
    """They depend on nothing but the queries, in all decoder layers."""
    head, seen = case.model.head, []
    handle = head.transformer.decoder.register_forward_hook(
        lambda module, args, out: seen.append(out[1])
    )
    head.forward_layers([torch.rand(2, c, 4, 4) for c in (512, 1024, 2048)])
    handle.remove()
    expected = case.ref['debug/init_reference']
    np.testing.assert_allclose(seen[0].detach(), np.stack([expected] * 6), atol=1e-6)


def test_outputs_of_all_layers(case):
    cls_logits, coords = (x.numpy() for x in case.outputs)
    ref = case.ref
    tolerance = case.info['float32_vs_float64']
    logits = np.concatenate((ref['aux_logits'], ref['pred_logits'][None]))
    np.testing.assert_allclose(cls_logits, logits, rtol=0, atol=5 * tolerance['pred_logits'])
    np.testing.assert_allclose(
        coords,
        np.concatenate((ref['aux_coords'], ref['pred_coords'][None])),
        rtol=0,
        atol=5 * tolerance['pred_coords'],
    )


@torch.no_grad()
def test_forward_is_the_last_layer(case):
    cls_logits, coords = case.model.head(case.model.extract_feat(case.image))
    np.testing.assert_allclose(cls_logits, case.ref['pred_logits'], rtol=0, atol=5e-4)
    np.testing.assert_allclose(coords, case.ref['pred_coords'], rtol=0, atol=1e-4)


def test_matching(case):
    matches, _ = case.model.head._match(*case.outputs, case.targets[0])
    np.testing.assert_array_equal(matches, case.ref['match'])
    coords = case.outputs[1][-1].numpy()
    matched = np.take_along_axis(coords, matches[-1].numpy()[..., None], axis=1)
    # the reference holds zeros where a joint has no weight
    np.testing.assert_allclose(
        matched * case.ref['target_weights'], case.ref['matched_coords'], atol=1e-4
    )


def backward(case, model, image):
    """Outputs, losses, and their sum, whose gradients are left in the model.

    The gradients go through the head first, and then through the backbone of an
    image at a time: the activations of both in double precision take gigabytes.
    """
    with torch.no_grad():
        maps = model.extract_feat(image)
    maps = [x.requires_grad_() for x in maps]
    outputs = model.head.forward_layers(maps)
    losses = model.head.loss_by_feat(*outputs, *case.targets)
    # as the runner does it
    total = model.parse_losses(losses)[0]
    total.backward()
    for i in range(len(image)):
        torch.autograd.backward(
            model.extract_feat(image[i : i + 1]), [x.grad[i : i + 1] for x in maps]
        )
    return outputs, losses, total


def test_losses_and_gradients(case):
    _, losses, total = backward(case, case.model, case.image)
    for layer in range(6):
        ours, theirs = ('', '') if layer == 5 else (f'd{layer}.', f'_{layer}')
        for name, key in (('loss_cls', 'loss_ce'), ('loss_kpt', 'loss_kpts')):
            expected = case.info['losses'][key + theirs] * case.info['weight_dict'][key + theirs]
            assert losses[ours + name].item() == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(case.info['total_loss'], rel=1e-5)

    noise = case.info['float32_vs_float64']
    check_gradients(case, case.model, '', 2e-3, 5 * noise['grad_probe_relative'])
    trained = sum(p.numel() for p in case.model.parameters() if p.grad is not None)
    assert trained == case.info['parameters_trainable']
    case.model.zero_grad()


def test_double_precision(case):
    """Without rounding noise everything agrees to 1e-5 of its size."""
    model = copy.deepcopy(case.model).double()
    outputs, _, total = backward(case, model, case.image.double())
    for name, out in zip(('pred_logits', 'pred_coords'), outputs):
        np.testing.assert_allclose(out[-1].detach(), case.ref[f'float64/{name}'], rtol=0, atol=1e-5)
    assert total.item() == pytest.approx(case.ref['float64/total_loss'])
    check_gradients(case, model, 'float64/', 1e-5, 1e-5)


def check_gradients(case, model, prefix, norm_tolerance, probe_tolerance):
    """Compare norms of gradients, and products with a fixed direction."""
    ref = case.ref
    grads = {
        key: p.grad.double().numpy() for key, p in model.named_parameters() if p.grad is not None
    }
    names = [n for n in ref.files if n.startswith(f'{prefix}grad_norm/')]
    assert len(names) > 15
    for name in names:
        key = name.split('grad_norm/')[1]
        grad, norm = grads[case.our_keys[key]], ref[name]
        assert np.linalg.norm(grad) == pytest.approx(norm, rel=norm_tolerance), key
        probe = (grad * golden.probe(key, grad.shape)).sum()
        assert probe == pytest.approx(
            ref[f'{prefix}grad_probe/{key}'], abs=float(probe_tolerance * norm)
        ), key
    norm_all = np.linalg.norm([np.linalg.norm(g) for g in grads.values()])
    assert norm_all == pytest.approx(ref[f'{prefix}grad_norm_all'], rel=norm_tolerance)


@pytest.mark.parametrize('include_background', [False, True])
@pytest.mark.parametrize('side', ['plain', 'mirror'])
def test_read_out(case, include_background, side):
    codec = KEYPOINT_CODECS.build(dict(CODEC, include_background=include_background))
    logits, coords = (
        ('pred_logits', 'pred_coords') if side == 'plain' else ('flipped_logits', 'flipped_coords')
    )
    keypoints, scores = codec.batch_decode(case.tensor(logits), case.tensor(coords))
    keypoints, scores = np.concatenate(keypoints), np.concatenate(scores)
    flip = case.model.head.decoder.input_size[0]
    prefix = 'decode_bg' if include_background else 'decode_nobg'
    if side == 'plain':
        ref = f'{prefix}/plain_nopairs'
    else:
        ref = f'{prefix}/mirror_pairs'
        pairs = _flip_indices(case.info['flip_pairs'])
        keypoints, scores = keypoints[:, pairs], scores[:, pairs]
        keypoints[..., 0] = flip - keypoints[..., 0]
    np.testing.assert_allclose(keypoints, case.ref[f'{ref}/input_coords'], atol=1e-3)
    np.testing.assert_allclose(scores, case.ref[f'{ref}/score'][..., 0], atol=1e-5)


@pytest.mark.parametrize('include_background', [False, True])
def test_flip_test_to_image_coordinates(case, include_background):
    decoder = case.model.head.decoder
    case.model.head.decoder = KEYPOINT_CODECS.build(
        dict(CODEC, include_background=include_background)
    )
    samples = [
        PoseDataSample(
            gt_instances=InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1)),
            metainfo=dict(
                input_size=(288, 384),
                input_center=center,
                input_scale=scale * 200,
                flip_indices=_flip_indices(case.info['flip_pairs']),
            ),
        )
        for center, scale in zip(case.ref['center'], case.ref['scale'])
    ]
    with torch.no_grad():
        samples = case.model.predict(case.image, samples)
    case.model.head.decoder = decoder
    prefix = 'decode_bg' if include_background else 'decode_nobg'
    for i, sample in enumerate(samples):
        pred = sample.pred_instances
        np.testing.assert_allclose(
            pred.keypoints[0],
            case.ref[f'{prefix}/fliptest_image_coords'][i],
            atol=1e-4 * case.ref['scale'].max() * 200,
        )
        np.testing.assert_allclose(
            pred.keypoint_scores[0], case.ref[f'{prefix}/fliptest_score'][i, :, 0], atol=5e-4
        )


def _flip_indices(pairs):
    indices = np.arange(17)
    for a, b in pairs:
        indices[[a, b]] = b, a
    return indices.tolist()
