"""Models by name."""

import os.path as osp

import pytest
import torch
from mmengine.registry import DefaultScope

from prtr_plugin.apis import list_models, load_config, load_model
from prtr_plugin.checkpoints import CheckpointError
from prtr_plugin.model_index import config_paths, nearest_names

SMALL = 'td-prtr_res18_1xb32-20e_synthetic-128x96'
CASCADE = 'prtr-cascade_res18_1xb8-24e_synthetic-144x192'
LSPE = 'td-prtr_res18_1xb32-1e_lspe-128x96'
pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture(scope='module')
def options(quick_options):
    """Those of ``checkpoint``, without what is no setting of the model."""
    return {k: v for k, v in quick_options.items() if k.startswith('model.')}


def test_names():
    names = list_models()
    assert names == sorted(set(names))
    assert {SMALL, CASCADE, LSPE} <= set(names)
    for name, path in config_paths().items():
        assert osp.isfile(path) and osp.basename(path) == f'{name}.py'


def test_pattern():
    assert list_models('*deformable-prtr*res50*') == [
        'td-deformable-prtr_res50_4xb16-100e_coco-384x288'
    ]
    assert list_models('deformable') == []


def test_weights(checkpoint, options, small_config):
    model = load_model(SMALL, checkpoint, 'cpu', cfg_options=options)
    assert not model.training
    saved = torch.load(checkpoint, weights_only=False)
    state = model.state_dict()
    assert all((state[k] == v).all() for k, v in saved['state_dict'].items())
    assert model.dataset_meta['num_keypoints'] == 17
    # a config of one's own
    other = load_model(small_config, checkpoint, cfg_options=options)
    assert other.state_dict().keys() == state.keys()


def test_config_object(checkpoint, options, small_config, recwarn):
    """As mmpose's ``init_model`` takes it; it is left alone."""
    cfg = load_config(small_config)
    text = cfg.pretty_text
    model = load_model(cfg, checkpoint, 'cpu', cfg_options=options)
    saved = torch.load(checkpoint, weights_only=False)
    assert model.state_dict().keys() == saved['state_dict'].keys()
    assert model.cfg is not cfg and cfg.pretty_text == text
    with pytest.raises(ValueError, match=f'{osp.basename(small_config)} needs either weights='):
        load_model(cfg)
    assert not [w for w in recwarn if 'metainfo config file' in str(w.message)]


def test_joints_of_the_checkpoint(checkpoint, options, tmp_path):
    """They come before those of the config, as in mmpose."""
    saved = torch.load(checkpoint, weights_only=False)
    saved['meta']['dataset_meta']['dataset_name'] = 'mine'
    torch.save(saved, tmp_path / 'other.pth')
    model = load_model(SMALL, str(tmp_path / 'other.pth'), cfg_options=options)
    assert model.dataset_meta['dataset_name'] == 'mine'
    # a file of nothing but weights has none
    torch.save(saved['state_dict'], tmp_path / 'weights.pth')
    model = load_model(SMALL, str(tmp_path / 'weights.pth'), cfg_options=options)
    assert model.dataset_meta['dataset_name'] == 'coco'


@pytest.mark.parametrize('name, joints', [(SMALL, 17), (CASCADE, 17), (LSPE, 14)])
def test_random_weights(name, joints):
    model = load_model(name, device='cpu', random_weights=True)
    assert model.head.out_channels == joints
    assert model.dataset_meta['num_keypoints'] == joints


def test_pretrained_backbone_is_not_fetched():
    """Its config names a file in the network."""
    name = 'td-prtr_res50_4xb32-200e_coco-384x288'
    model = load_model(name, device='cpu', random_weights=True)
    assert 'torchvision://' in model.cfg.pretty_text


def test_scope_is_left_alone():
    """Whatever was built before."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        load_model(SMALL, device='cpu', random_weights=True)
        assert DefaultScope.get_current_instance().scope_name == 'mmdet'


def test_unknown_name():
    with pytest.raises(ValueError) as error:
        load_model('td-prtr_res18_synthetic', random_weights=True)
    message = str(error.value)
    assert f'Did you mean {SMALL}' in message or f', {SMALL}' in message
    # a short list, and a word about the long one
    assert message.count('td-prtr') == 6 and 'mpii' not in message and '`prtr models`' in message


@pytest.mark.parametrize(
    'name, nearest',
    [
        ('prtr_s', 'prtr-s'),
        ('td-prtr_res50', 'td-prtr_res50_4xb32-200e_coco-384x288'),
        ('td-prtr_res101_4xb32_mpii', 'td-prtr_res101_4xb32-200e_coco-384x288'),
        ('prtr-cascade_res50_8xb2-50e_coco-800x1332', 'prtr-cascade_res50_8xb2-50e_coco-800x1333'),
    ],
)
def test_nearest_names(name, nearest):
    """By the beginning, and those for COCO first."""
    names = nearest_names(name)
    assert names[0] == nearest and len(names) == 5


def test_devices():
    with pytest.raises(ValueError, match="There is no device 'gpu' here. Use cpu"):
        load_model(SMALL, device='gpu', random_weights=True)


def test_missing_files(checkpoint):
    with pytest.raises(FileNotFoundError, match='config file "nothing.py"'):
        load_model('nothing.py', checkpoint)
    with pytest.raises(FileNotFoundError, match='nothing.pth does not exist'):
        load_model(SMALL, 'nothing.pth')


def test_weights_have_to_be_chosen(checkpoint):
    for weights, random in ((None, False), (checkpoint, True)):
        with pytest.raises(ValueError, match='random_weights=True, but got'):
            load_model(SMALL, weights, random_weights=random)


def test_checkpoint_of_another_model(checkpoint, options):
    with pytest.raises(CheckpointError) as error:
        load_model(LSPE, checkpoint, cfg_options=options)
    assert str(error.value).startswith(checkpoint)
    assert 'head.fc_cls.weight (18, 128) instead of (15, 128)' in str(error.value)


@pytest.mark.parametrize('content', [b'', b'text', b'PK\x03\x04 cut off'])
def test_no_checkpoint(content, tmp_path):
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='broken.pth" cannot be read'):
        load_model(SMALL, str(path))
