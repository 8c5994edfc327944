import matplotlib.image
import pytest
import torch

from prtr_plugin.apis import load_model


@pytest.fixture(scope='module')
def untrained(plus_config, tmp_path_factory, quick_options):
    """A checkpoint of PRTR+ with random weights."""
    model = load_model(plus_config, random_weights=True, device='cpu', cfg_options=quick_options)
    path = tmp_path_factory.mktemp('plus') / 'untrained.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def draw(run_tool, plus_config, untrained, quick_options, synthetic_people, tmp_path):
    """A function that runs a tool for a picture, into ``tmp_path / 'a.png'``."""
    image = next((synthetic_people / 'val2017').iterdir())

    def run(tool, *args):
        paths = (plus_config, untrained, tmp_path / 'a.png', image)
        return run_tool(f'visualizations/{tool}.py', *paths, *args, options=quick_options)

    return run


def test_maps(draw, tmp_path):
    done = draw(
        'query_maps', '--joints', 'nose', 'left_knee', '--layer=1', '--bbox', '9', '9', '80', '99'
    )
    assert done.code == 0
    assert matplotlib.image.imread(tmp_path / 'a.png').shape[1] == 4.5 * 120
    assert draw('query_maps').code.startswith('Error: ') and 'exists' in draw('query_maps').code


@pytest.mark.parametrize(
    'arguments, message',
    [(['--joints', 'tail'], 'There is no joint tail.'), (['--layer=3'], 'from 1 to 2, but is 3')],
)
def test_bad_arguments(draw, tmp_path, arguments, message):
    code = draw('query_maps', *arguments).code
    assert code.startswith('Error: ') and message in code
    assert not (tmp_path / 'a.png').exists()


def test_other_models(
    run_tool, small_config, checkpoint, quick_options, synthetic_people, tmp_path
):
    image = next((synthetic_people / 'val2017').iterdir())
    paths = (small_config, checkpoint, tmp_path / 'a.png', image)
    code = run_tool('visualizations/query_maps.py', *paths, options=quick_options).code
    assert code.startswith('Error: This needs a PRTRHead with PixelPRTRTransformer')


@pytest.mark.slow
def test_tools_that_fit_as_well(draw, run_tool, plus_config, untrained, quick_options, tmp_path):
    """Attention, statistics and refinement; the picture of a cascade does not."""
    assert draw('attention', '--joints', 'nose').code == 0
    for tool, made in (('query_statistics', 'density.png'), ('refinement', '000_000001000001.png')):
        paths = (plus_config, untrained, tmp_path / tool)
        done = run_tool(f'visualizations/{tool}.py', *paths, options=quick_options)
        assert done.code == 0, done
        assert (tmp_path / tool / made).is_file(), list((tmp_path / tool).iterdir())
    (tmp_path / 'a.png').unlink()
    assert draw('cascade').code.startswith('Error: ')
