"""Damaged files in the five uses of a file: none is accepted, none ends in a traceback."""

import json

import pytest

from helpers.annotation_mutants import USES, good_files, run, same, study, table, write_pictures

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


@pytest.mark.parametrize('use', USES)
def test_any_category(tmp_path, use):
    """Its number has no influence on what is learnt, nor on the metrics."""
    write_pictures(tmp_path)
    results = []
    for number in (1, 21, 0):
        data, boxes = good_files(number)
        (tmp_path / 'ann.json').write_text(json.dumps(data))
        (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
        results.append(run(tmp_path, use))
    assert all(same(result, results[0]) for result in results)
    if 'train' not in use:
        assert 0.2 < results[0]['coco/AP'] < 1
