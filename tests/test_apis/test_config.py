"""Loading a config with settings from the command line."""

from pathlib import Path

import pytest

from prtr_plugin.apis import load_config

TEXT = """
data_root = 'data/coco/'
ann = data_root + 'ann.json'
loader = dict(
    dataset=dict(data_root=data_root, ann_file='ann.json'), batch_size=4)
evaluators = [dict(ann_file=ann), dict(files=(ann, 'data/coco_sample/a'))]
unrelated = dict(name='not data/coco/', number=1, nothing=None)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(TEXT)
    return str(path)


def test_without_options(config):
    cfg = load_config(config)
    assert cfg.filename == config
    assert cfg.ann == 'data/coco/ann.json'
    assert load_config(config, {}).to_dict() == cfg.to_dict()


@pytest.mark.parametrize('old', ['data/coco/', 'data/coco'])
@pytest.mark.parametrize('new', ['my/folder/', 'my/folder', '/my/folder'])
def test_data_root_is_replaced_everywhere(config, tmp_path, old, new):
    if not old.endswith('/'):
        path = tmp_path / 'other.py'
        path.write_text(
            TEXT.replace("'data/coco/'\n", "'data/coco'\n").replace("root + '", "root + '/")
        )
        config = str(path)
    cfg = load_config(config, {'data_root': new})
    ann = new.rstrip('/') + '/ann.json'
    assert cfg.data_root.rstrip('/') == new.rstrip('/')
    assert cfg.loader.dataset.data_root == cfg.data_root
    assert cfg.loader.dataset.ann_file == 'ann.json'
    assert cfg.ann == cfg.evaluators[0].ann_file == ann
    assert cfg.evaluators[1].files == (ann, 'data/coco_sample/a')
    assert cfg.unrelated == dict(name='not data/coco/', number=1, nothing=None)
    assert cfg.filename == config


def test_here(config):
    assert load_config(config, {'data_root': ''}).ann == 'ann.json'


def test_other_options_win(config):
    options = {
        'data_root': 'new/',
        'loader.dataset.data_root': 'newer/',
        'loader.batch_size': 8,
        'evaluators.0.ann_file': 'b.json',
    }
    cfg = load_config(config, options)
    assert cfg.loader.dataset.data_root == 'newer/'
    assert cfg.loader.batch_size == 8
    assert cfg.evaluators[0].ann_file == 'b.json'
    assert 'data_root' in options  # the argument is left as it was


def test_same_as_editing_the_file(small_config, tmp_path):
    """For a real config with inheritance."""
    cfg = load_config(small_config, {'data_root': 'elsewhere/'})
    with open(small_config) as file:
        text = file.read()
    edited = tmp_path / 'edited.py'
    base = small_config.rsplit('/', 2)[0] + '/_base_'
    edited.write_text(
        text.replace("'data/synthetic_people/'", "'elsewhere/'").replace('../_base_', base)
    )
    assert cfg.to_dict() == load_config(str(edited)).to_dict()
    assert 'data/synthetic_people' not in cfg.pretty_text


def test_three_spellings(small_config):
    """A name, the same with .py, or a path."""
    path = Path(small_config)
    expected = load_config(path).to_dict()
    for name in (path.stem, path.name, small_config):
        cfg = load_config(name)
        assert cfg.to_dict() == expected and Path(cfg.filename).name == path.name
    for missing in ('nothing.py', 'folder/nothing', Path('nothing.py')):
        with pytest.raises(FileNotFoundError, match=f'"{missing}" does not exist'):
            load_config(missing)
    with pytest.raises(ValueError, match='There is no model "nothing". Did you mean '):
        load_config('nothing')


@pytest.mark.parametrize(
    'name, text', [('a.py', 'model = dict('), ('b.py', 'a = 1 / 0'), ('c.jpg', 'text')]
)
def test_no_config(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f'{name} cannot be read: '):
        load_config(tmp_path / name)
    (tmp_path / 'child.py').write_text("_base_ = './gone.py'")
    with pytest.raises(FileNotFoundError, match='gone.py'):
        load_config(tmp_path / 'child.py')


def test_config_without_data_root(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('model = dict()')
    with pytest.raises(ValueError, match='no variable data_root'):
        load_config(str(path), {'data_root': 'here'})


@pytest.mark.parametrize('config', [{'model': {}}, None, 3])
def test_another_type(config):
    with pytest.raises(TypeError, match=f'not as {type(config).__name__}. Of a dict'):
        load_config(config)


@pytest.mark.parametrize(
    'key, message',
    [
        ('modle.head.num_queries', "no 'modle' in .*small.py, .*. Did you mean model[?]$"),
        ('nonsense', "no 'nonsense' in .*small.py, and neither .* reads one.$"),
        ('epochs', "'epochs' is a variable of .*small.py, .*, or edit the file.$"),
        ('max_epochs', "overriding 'max_epochs' .* instead: train_cfg.max_epochs.$"),
        # settings that are equal to the variable
        (
            'codec.sigma',
            "'codec.sigma' .*: model.head.decoder, val_dataloader.pipeline.0.encoder.$",
        ),
        ('pipeline.0.encoder', ': val_dataloader.pipeline.$'),
        ('custom_imports.imports', 'custom_imports is only read with the file, .*_base_.$'),
    ],
)
def test_options_without_effect(key, message, tmp_path):
    path = tmp_path / 'small.py'
    path.write_text(
        'epochs, max_epochs = 3, 3\ntrain_cfg = dict(max_epochs=max_epochs, end=epochs)\n'
        'codec = dict(sigma=2)\nmodel = dict(head=dict(decoder=codec))\n'
        'pipeline = [dict(encoder=codec)]\nval_dataloader = dict(pipeline=pipeline)\n'
    )
    with pytest.raises(ValueError, match=message):
        load_config(path, {key: 5})
    # what has an effect without being in the config
    for name in ('sync_bn', 'check_pictures', 'resume'):
        assert load_config(path, {name: 'x'})[name] == 'x'
