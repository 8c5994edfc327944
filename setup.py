"""Adds what ``mim`` looks for to the package; everything else is in pyproject.toml."""

import contextlib
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithMim(build_py):
    """Puts configs, tools and the model index into ``prtr_plugin/.mim``.

    As copies into what is built, and as links beside the sources for ``pip install -e``, as
    mmpose does. They are not in the repository, as links need special rights on Windows.
    """

    def run(self):
        super().run()
        package = ROOT if self.editable_mode else Path(self.build_lib)
        mim = package / 'prtr_plugin' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in ('configs', 'tools', 'model-index.yml'):
            source, target = ROOT / name, mim / name
            if self.editable_mode:
                with contextlib.suppress(OSError):
                    target.symlink_to(source, target_is_directory=source.is_dir())
                    continue
            if source.is_dir():
                ignore = shutil.ignore_patterns('__pycache__', '*.py[cod]', '*.png', '*.jpg')
                shutil.copytree(source, target, ignore=ignore)
            else:
                shutil.copy(source, target)


setup(cmdclass={'build_py': BuildWithMim})
