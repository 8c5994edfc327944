import matplotlib.image
import pytest

TOOL = 'visualizations/attention.py'


@pytest.fixture
def image(synthetic_people):
    return next((synthetic_people / 'val2017').iterdir())


@pytest.fixture
def draw(run_tool, small_config, checkpoint, quick_options, image, tmp_path):
    """A function that draws into ``tmp_path / 'out/a.png'``."""

    def run(*args):
        return run_tool(
            TOOL,
            small_config,
            checkpoint,
            tmp_path / 'out/a.png',
            image,
            *args,
            options=quick_options,
        )

    return run


def test_all_joints(draw, tmp_path):
    assert draw().code == 0
    height, width = matplotlib.image.imread(tmp_path / 'out/a.png').shape[:2]
    assert width == 6 * 1.5 * 120 and height > 300


def test_options(draw, tmp_path):
    """A panel for the point and each of two joints."""
    result = draw(
        '--point',
        '40',
        '50',
        '--joints',
        'nose',
        'left_knee',
        '--layer=1',
        '--head=2',
        '--encoder-layer=1',
        '--bbox',
        '20',
        '30',
        '80',
        '110',
    )
    assert result.code == 0
    picture = matplotlib.image.imread(tmp_path / 'out/a.png')
    assert picture.shape[1] == 4.5 * 120


def test_deformable_attention(
    run_tool, small_config, train_an_epoch, quick_options, image, tmp_path
):
    config = tmp_path / 'deformable.py'
    config.write_text(
        f"_base_ = '{small_config}'\n"
        "head = dict(transformer=dict(type='DeformablePRTRTransformer', "
        'num_feature_levels=2))\n'
        'model = dict(head=head)\n'
    )
    arguments = (TOOL, config, train_an_epoch(str(config)), tmp_path / 'out/a.png', image)
    point = run_tool(*arguments, '--point', '40', '50', options=quick_options)
    assert point.code.startswith('Error: --point and --encoder-layer need PRTRTransformer, but')
    assert not (tmp_path / 'out').exists()
    result = run_tool(*arguments, '--joints', 'nose', '--head=2', options=quick_options)
    assert result.code == 0
    assert (tmp_path / 'out/a.png').stat().st_size > 1000


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--joints', 'tail'], 'There is no joint tail. The dataset has nose'),
        (['--layer=3'], 'layer must be from 1 to 2, but is 3.'),
        (['--point', '999', '0'], 'outside of the crop'),
        (['--bbox', '60', '30', '40', '80'], 'x1 < x2 and y1 < y2'),
        (['--device=moon'], 'moon'),
    ],
)
def test_bad_arguments(draw, tmp_path, arguments, message):
    code = draw(*arguments).code
    assert code.startswith('Error: ') and message in code
    assert not (tmp_path / 'out').exists()
