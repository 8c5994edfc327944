import json

import matplotlib.image
import pytest

TOOL = 'visualizations/refinement.py'


def test_people_of_the_test_set(
    run_tool, small_config, checkpoint, quick_options, tmp_path, capsys
):
    """Two pictures of three people, and the errors of both layers."""
    out = tmp_path / 'folder' / 'out'
    result = run_tool(
        TOOL,
        small_config,
        checkpoint,
        out,
        '--num-images=3',
        '--columns=2',
        '--curve',
        '--thr=0.5',
        options=quick_options,
    )
    assert result.code == 0
    first, second = sorted(out.glob('0*.png'))
    widths = [matplotlib.image.imread(p).shape[1] for p in (first, second)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=1)
    assert (out / 'curve.png').exists()

    curve = json.loads((out / 'curve.json').read_text())
    assert curve['thr'] == 0.5
    layers = curve['layers']
    assert [e['layer'] for e in layers] == [1, 2]
    printed = capsys.readouterr().out
    for e in layers:
        assert 0 < e['PCK'] < 1 and 0 < e['NME'] < 1
        assert f'layer {e["layer"]}: NME {e["NME"]:.4f}, PCK {e["PCK"]:.4f}' in printed


def test_image_files(run_tool, small_config, checkpoint, quick_options, synthetic_people, tmp_path):
    images = sorted((synthetic_people / 'val2017').iterdir())[:2]
    result = run_tool(
        TOOL, small_config, checkpoint, tmp_path, '--images', *images, options=quick_options
    )
    assert result.code == 0
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        f'{i:03d}_{p.stem}.png' for i, p in enumerate(images)
    ]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--num-images=0'], 'must be at least 1'),
        (['--bbox', '1', '2', '3', '4'], 'exactly one file'),
    ],
)
def test_bad_arguments(run_tool, small_config, checkpoint, tmp_path, capsys, arguments, message):
    result = run_tool(TOOL, small_config, checkpoint, tmp_path / 'out', *arguments)
    assert result.code == 2
    assert message in capsys.readouterr().err


def test_nothing_is_written_after_an_error(
    run_tool, small_config, cascade_config, checkpoint, quick_options, tmp_path
):
    out = tmp_path / 'out'
    missing = run_tool(
        TOOL, small_config, checkpoint, out, '--images', tmp_path / 'no.jpg', options=quick_options
    )
    assert missing.code.startswith('Error: ') and 'no.jpg' in missing.code
    other = run_tool(TOOL, cascade_config, checkpoint, out, options=quick_options)
    assert 'does not fit the model' in other.code
    assert not out.exists()
