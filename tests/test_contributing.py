"""The examples of CONTRIBUTING.md, run as they stand there."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

ROOT = Path(__file__).resolve().parents[1]

TEXT = (ROOT / 'CONTRIBUTING.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', TEXT, re.S)
CONFIGS = [block for block in BLOCKS if block.startswith('_base_')]
CODE = [block for block in BLOCKS if not block.startswith('_base_')]


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch):
    monkeypatch.chdir(ROOT)


def load(text, tmp_path):
    """A config as a file at the top of the repository."""
    file = tmp_path / 'config.py'
    file.write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
    cfg = Config.fromfile(file)
    # so that it is quick
    cfg.model.head.transformer.update(num_encoder_layers=1, num_decoder_layers=1)
    return cfg


@pytest.fixture
def define(monkeypatch):
    """Runs an example with classes, which are registered during one test."""
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS._module_dict))
    return lambda code: exec(code, {'__name__': 'example'})


def train_step(cfg):
    """The losses of two random crops, and whether all parameters learn."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    num_joints = cfg.model.head.out_channels
    samples = [
        PoseDataSample(
            gt_instance_labels=InstanceData(
                keypoint_labels=torch.rand(1, num_joints, 2),
                keypoint_weights=torch.ones(1, num_joints),
            )
        )
        for _ in range(2)
    ]
    losses = model.loss(torch.randn(2, 3, 128, 96), samples)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(p.grad is not None for p in model.parameters())
    return losses


def test_there_is_one_of_each():
    assert len(CONFIGS) == 3 and len(CODE) == 2


@pytest.mark.parametrize('text', CONFIGS)
def test_configs(text, tmp_path, mmpose_scope):
    assert train_step(load(text, tmp_path))['loss_kpt'] > 0


def test_dataset(tmp_path):
    cfg = load(CONFIGS[1], tmp_path)
    steps = {step['type']: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomBBoxClippedNormal']['rotate_factor'] == 20
    assert steps['GenerateTarget']['encoder']['num_keypoints'] == 14


def test_loss(tmp_path, mmpose_scope, define):
    define(CODE[0])
    cfg = load(CONFIGS[0], tmp_path)
    cfg.model.head.loss_kpt = dict(type='DistanceLoss')
    losses = train_step(cfg)
    assert losses['loss_kpt'] > 0

    loss = MODELS.build(dict(type='DistanceLoss', loss_weight=2.0))
    output = torch.tensor([[[3.0, 4.0], [1.0, 1.0]]])
    assert loss(output, 0 * output, torch.tensor([[1.0, 0.0]])) == 5


def test_transformer(tmp_path, mmpose_scope, define):
    define(CODE[1])
    cfg = load(CONFIGS[2], tmp_path)
    cfg.model.head.transformer = dict(type='DecoderTransformer', num_decoder_layers=2)
    losses = train_step(cfg)
    assert losses['loss_kpt'] > 0 and losses['d0.loss_kpt'] > 0


def test_files_that_are_named_exist():
    links = re.findall(r'\]\(([^)#]+)\)', TEXT)
    assert len(links) >= 5
    for link in links:
        if '://' not in link:
            assert (ROOT / link).exists(), link
