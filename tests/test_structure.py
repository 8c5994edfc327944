"""The floors of docs/architecture.md: no import leads upward, none to a private name.

The tests stand beside them: they mirror the tree, and share nothing but helpers/.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = ROOT / 'prtr_plugin', ROOT / 'tests'
# from low to high; modules of one row may import each other, without a circle
FLOORS = [
    (
        '_mmcv_ext',
        '_stand_ins',
        '_versions',
        'assignment',
        'fileio',
        'folder_lock',
        'model_index',
        'version',
    ),
    ('codecs', 'datasets', 'evaluation'),
    ('models',),
    ('checkpoints',),
    ('deploy', 'visualization'),
    ('engine',),
    ('apis',),
    ('__main__',),
]
# inside of models/, too
MODEL_FLOORS = [('layers', 'necks', 'task_modules'), ('transformers',), ('heads',), ('estimators',)]
FILES = sorted(p for p in PACKAGE.rglob('*.py') if '.mim' not in p.parts)


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file of the repository imports from the package."""
    module = ('prtr_plugin', *path.relative_to(PACKAGE).parts) if PACKAGE in path.parents else ()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = module[: -node.level] if node.level else ()
            source = '.'.join([*base, *filter(None, [node.module])])
            names = [f'{source}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith('prtr_plugin.'))


def floor_of(parts: list[str], floors: list[tuple]) -> int | None:
    return next((i for i, rooms in enumerate(floors) if parts and parts[0] in rooms), None)


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_leads_upward(path):
    here = list(path.relative_to(PACKAGE).with_suffix('').parts)
    if here == ['__init__']:
        return
    assert floor_of(here, FLOORS) is not None, f'{here[0]} has no floor: add it here and in docs'
    for name in imports(path):
        there = name.split('.')[1:]
        if floor_of(there, FLOORS) is not None:
            assert floor_of(there, FLOORS) <= floor_of(here, FLOORS), name
        if here[0] == there[0] == 'models':
            above, below = (floor_of(parts[1:], MODEL_FLOORS) for parts in (there, here))
            assert above is None or below is None or above <= below, name


def test_no_circles():
    """Between the rooms of the package."""
    edges = {}
    for path in FILES:
        here = path.relative_to(PACKAGE).with_suffix('').parts[0]
        for name in imports(path):
            there = name.split('.')[1]
            if there != here and here != '__init__' and floor_of([there], FLOORS) is not None:
                edges.setdefault(here, set()).add(there)
    free = set(edges).union(*edges.values()) - set(edges)
    while edges:
        done = [room for room, others in edges.items() if others <= free]
        assert done, f'a circle among {edges}'
        free.update(done)
        for room in done:
            del edges[room]


@pytest.mark.parametrize('folder', ['tools', 'projects', 'configs'])
def test_nothing_private_is_imported_from_outside(folder):
    for path in (ROOT / folder).rglob('*.py'):
        for name in imports(path):
            private = [part for part in name.split('.') if part.startswith('_')]
            assert not private, f'{path.relative_to(ROOT)}: {name}'


def test_tools_import_no_sibling():
    names = {path.stem for path in (ROOT / 'tools').rglob('*.py')}
    for path in (ROOT / 'tools').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in names, path
            elif isinstance(node, ast.Import):
                assert not names.intersection(alias.name for alias in node.names), path


def test_tests_import_only_helpers_of_each_other():
    names = {path.stem for path in TESTS.rglob('*.py')} | {'tests'}
    for path in TESTS.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for module in modules:
                assert module.split('.')[0] not in names, f'{path.relative_to(ROOT)}: {module}'


def test_tests_mirror_the_tree():
    """By folders; a file may be about a module, or about several at work together."""
    for folder in {path.parent for path in TESTS.rglob('test_*.py')} - {TESTS}:
        parts = [part.removeprefix('test_') for part in folder.relative_to(TESTS).parts]
        assert any(root.joinpath(*parts).is_dir() for root in (PACKAGE, ROOT)), folder
    for folder in PACKAGE.iterdir():
        if any(folder.glob('*.py')):
            tests = TESTS / f'test_{folder.name}'
            assert any(tests.rglob('test_*.py')), folder
