"""Damaged files in the five uses of a file: none is accepted, none ends in a traceback."""

import pytest

from helpers.annotation_mutants import study, table

pytestmark = pytest.mark.usefixtures('mmpose_scope')


@pytest.mark.parametrize('num', [4, pytest.param(110, marks=pytest.mark.slow)], ids=['few', 'many'])
def test_mutants(tmp_path, capsys, num):
    """``-s -m slow`` prints the table of 550."""
    counts, cases = study(tmp_path, num)
    print(table(counts))
    bad = [case for case in cases if case[2] not in ('sentence', 'no influence')]
    assert not bad, '\n'.join(map(str, bad))
    assert all(
        'ann.json' in case[3] or 'boxes.json' in case[3] or case[2] != 'sentence' for case in cases
    )
