"""The version check that runs when the package is imported."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import prtr_plugin
from prtr_plugin import _versions

tomllib = pytest.importorskip('tomllib', reason='a part of Python since 3.11')
ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def test_version_string():
    from mmengine.utils import digit_version

    assert digit_version(prtr_plugin.__version__) >= digit_version('0.1.0')


def test_the_version_is_the_same_everywhere():
    version = prtr_plugin.__version__
    assert f'\nversion: {version}\n' in (ROOT / 'CITATION.cff').read_text()
    # the newest one stands first
    assert re.search(r'\n## ([\d.]+)', (ROOT / 'CHANGELOG.md').read_text())[1] == version
    assert PROJECT['dynamic'] == ['version']


def test_extras_are_what_is_tested():
    extras = PROJECT['optional-dependencies']
    names = ','.join(sorted(set(extras) - {'all'}))
    assert [','.join(sorted(re.split(r'[\[\],]', extras['all'][0])[1:-1]))] == [names]
    pinned = (ROOT / 'tools/requirements/test.txt').read_text().split()
    assert {name.split('==')[0] for name in pinned} >= {*extras['deploy'], 'pytest'}


def test_nothing_that_an_mmpose_brings_is_required():
    """Each exists under two names, and pip would install one over the other."""
    required = [re.split(r'[^\w-]', name)[0] for name in PROJECT['dependencies']]
    assert required == ['numpy', 'rich', 'scipy', 'torch', 'tqdm', 'typer']


def test_installed_versions_pass():
    _versions.check_versions()


@pytest.mark.parametrize(
    'name, version',
    [
        ('torch', '2.0.1'),
        ('mmengine', '0.9.0'),
        ('mmengine', '1.0.0'),
        ('mmcv', '2.0.1'),
        ('mmcv', '2.4.0'),
        ('mmdet', '3.1.0'),
        ('mmdet', '3.6.0'),
        ('mmpose', '0.29.0'),
        ('mmpose', '1.3.1'),
        ('mmpose', '1.4.0'),
    ],
)
def test_wrong_version(monkeypatch, name, version):
    need = next(n for n in _versions.NEEDS if n.name == name)
    monkeypatch.setattr(f'{name}.__version__', version)
    with pytest.raises(ImportError) as error:
        _versions.check_versions()
    message = str(error.value)
    assert f'found {name} {version}' in message
    assert f'{name} >= {need.minimum}, < {need.limit}' in message
    assert 'pip install' in message
    assert '\n' not in message


@pytest.mark.parametrize('version', ['2.1.2+cpu', '2.11.0+cu130', '2.1'])
def test_local_version_passes(monkeypatch, version):
    monkeypatch.setattr('torch.__version__', version)
    _versions.check_versions()


def _refuse(monkeypatch, package, error):
    """Let the import of ``package`` raise ``error``."""
    original = importlib.import_module

    def import_module(name, *args):
        if name == package:
            raise error
        return original(name, *args)

    monkeypatch.setattr(_versions.importlib, 'import_module', import_module)


@pytest.mark.parametrize('name', [need.name for need in _versions.NEEDS])
def test_missing_package(monkeypatch, name):
    _refuse(monkeypatch, name, ModuleNotFoundError(f"No module named '{name}'", name=name))
    with pytest.raises(ImportError, match=rf'needs {name} >= .* found no {name}: .*pip'):
        _versions.check_versions()


def test_missing_package_of_a_package(monkeypatch):
    # mmengine imports torch: without torch, torch is what has to be named.
    _refuse(monkeypatch, 'mmengine', ModuleNotFoundError("No module named 'torch'", name='torch'))
    with pytest.raises(ImportError, match='found no torch'):
        _versions.check_versions()


def test_missing_package_of_another(monkeypatch):
    _refuse(monkeypatch, 'mmpose', ModuleNotFoundError("No module named 'xyz'", name='xyz'))
    with pytest.raises(ImportError, match='needs mmpose .* xyz is not inst'):
        _versions.check_versions()


def test_package_that_refuses_another(monkeypatch):
    _refuse(monkeypatch, 'mmdet', AssertionError('MMCV==2.3.0 is used but incompatible.'))
    with pytest.raises(ImportError, match='needs mmdet .*MMCV==2.3.0'):
        _versions.check_versions()


def test_check_comes_before_the_components(monkeypatch):
    """A wrong version is reported before anything else is imported."""
    monkeypatch.setattr('mmpose.__version__', '1.0.0')
    for name in [n for n in sys.modules if n.split('.')[0] == 'prtr_plugin']:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match='found mmpose 1.0.0'):
        importlib.import_module('prtr_plugin')
    assert 'prtr_plugin.models' not in sys.modules
