import matplotlib.image
import pytest


@pytest.mark.parametrize('split', ['train', 'test'])
def test_picture(run_tool, each_config, train_an_epoch, quick_options, tmp_path, split):
    out = tmp_path / 'folder' / 'sheet.png'
    result = run_tool(
        'visualizations/prediction_sheet.py',
        each_config,
        train_an_epoch(each_config),
        out,
        '--num-images=3',
        f'--split={split}',
        '--kpt-thr=0',
        '--score-thr=0',
        options=quick_options,
    )
    assert result.code == 0
    # two pairs in a row, two rows
    height, width = matplotlib.image.imread(out).shape[:2]
    assert width == 2 * 6.4 * 120
    assert height == pytest.approx(2 * 2.6 * 120, abs=1)


def test_needs_an_image(run_tool, small_config, checkpoint, capsys):
    result = run_tool(
        'visualizations/prediction_sheet.py',
        small_config,
        checkpoint,
        'sheet.png',
        '--num-images=0',
    )
    assert result.code == 2
    assert '--num-images' in capsys.readouterr().err
