"""The tools that draw over pictures of the user, given odd and damaged ones."""

import pytest

from helpers.odd_pictures import check_odd_pictures
from prtr_plugin import apis

TOOLS = {
    'attention': ('small_config', 'out.png', []),
    'refinement': ('small_config', 'out', ['--images']),
    'cascade': ('cascade_config', 'out.png', []),
}


@pytest.mark.slow
@pytest.mark.parametrize('tool', TOOLS)
def test_odd_pictures(tool, request, run_tool, odd_pictures, tmp_path, monkeypatch):
    config, out, args = TOOLS[tool]
    config = request.getfixturevalue(config)
    model = apis.load_model(config, random_weights=True, device='cpu')
    # built once
    monkeypatch.setattr(apis, 'load_model', lambda *args, **kwargs: model)

    def run(path):
        done = run_tool(
            f'visualizations/{tool}.py',
            config,
            'weights.pth',
            tmp_path / out,
            *args,
            path,
            '--force',
        )
        if done.error:
            raise done.error
        return done.code

    check_odd_pictures(run, odd_pictures)
