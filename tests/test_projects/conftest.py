"""Fixtures: run_project runs a script of ``projects/`` in this process."""

import pytest


@pytest.fixture(scope='session')
def run_project(run_tool):
    """Like ``run_tool``, for ``projects/<path>``."""

    def run(path: str, *args, **kwargs):
        return run_tool(f'../projects/{path}', *args, **kwargs)

    return run
