import pytest

TOOL = 'visualizations/cascade.py'


@pytest.mark.parametrize('threshold, people', [(0, 10), (1, 0)])
def test_picture(
    run_tool,
    cascade_config,
    train_an_epoch,
    quick_options,
    synthetic_people,
    tmp_path,
    capsys,
    threshold,
    people,
):
    out = tmp_path / 'folder' / 'people.png'
    image = next((synthetic_people / 'val2017').iterdir())
    result = run_tool(
        TOOL,
        cascade_config,
        train_an_epoch(cascade_config),
        out,
        image,
        f'--score-thr={threshold}',
        options=quick_options,
    )
    assert result.code == 0
    assert f'{people} people. Wrote {out}' in capsys.readouterr().out
    assert out.stat().st_size > 10000


def test_two_stage_models_are_refused(
    run_tool, small_config, checkpoint, quick_options, synthetic_people, tmp_path
):
    image = next((synthetic_people / 'val2017').iterdir())
    out = tmp_path / 'people.png'
    result = run_tool(TOOL, small_config, checkpoint, out, image, options=quick_options)
    assert result.code.startswith('Error: This needs PRTRCascade')
    assert not out.exists()
