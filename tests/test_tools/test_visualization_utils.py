import numpy as np
import pytest
from mmpose.apis import init_model
from PIL import Image

from prtr_plugin.apis import load_config
from prtr_plugin.visualization.style import new_figure


@pytest.fixture
def utils(load_tool):
    return load_tool('visualizations/visualization_utils.py')


def test_box_of_a_file(utils, small_config, quick_options, synthetic_people):
    """What the model sees is the padded box, or else the whole image."""
    model = init_model(load_config(small_config, quick_options), device='cpu', cfg_options={})
    image = str(next((synthetic_people / 'val2017').iterdir()))
    for bbox, center in ((None, [80, 60]), ([10, 20, 40, 60], [30, 50])):
        batch = utils.batch_of_files(model, [image], bbox)
        (sample,) = batch['data_samples']
        assert sample.input_center.tolist() == center
        assert sample.img_path == image
        assert batch['inputs'][0].shape == (3, 128, 96)


def test_entries_of_the_test_set(utils, small_config, quick_options, mmpose_scope):
    """The first, the last and what lies between, none of them twice."""
    model = init_model(load_config(small_config, quick_options), device='cpu', cfg_options={})
    everybody = utils.batch_of_dataset(model, 99)['data_samples']
    two = utils.batch_of_dataset(model, 2)['data_samples']
    ids = [sample.id for sample in everybody]
    assert len(ids) == len(set(ids)) > 2
    assert [sample.id for sample in two] == [ids[0], ids[-1]]


def test_small_pictures(utils, tmp_path):
    """A PNG file is small and keeps white and colours that only a few
    pixels have."""
    figure = new_figure(2, 1)
    axis = figure.subplots()
    axis.imshow(np.random.RandomState(0).rand(50, 100, 3) * [0.2, 0.2, 1])
    axis.plot([50], [25], 's', color='lime', markersize=5)
    utils.save_figure(figure, tmp_path / 'a/b.png')
    utils.save_figure(figure, tmp_path / 'a/b.jpg')
    figure.savefig(tmp_path / 'full.png')
    small = Image.open(tmp_path / 'a/b.png')
    assert small.mode == 'P'
    assert Image.open(tmp_path / 'a/b.jpg').size == small.size
    pixels = np.array(small.convert('RGB')).astype(int)
    assert abs(pixels - [0, 255, 0]).sum(axis=-1).min() < 30
    assert (pixels[0, 0] == 255).all()
    sizes = [(tmp_path / name).stat().st_size for name in ('a/b.png', 'full.png')]
    assert sizes[0] < sizes[1] / 2
