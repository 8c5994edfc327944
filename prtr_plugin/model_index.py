"""The models that the package has configs for."""

from pathlib import Path

import mmengine

# what `mim` reads in an installed package, or else the repository
_MIM_DIR = Path(__file__).parent / '.mim'
if not _MIM_DIR.is_dir():
    _MIM_DIR = Path(__file__).parents[1]


def config_paths() -> dict[str, str]:
    """Paths of the config files in the model index, by model name."""
    index = mmengine.load(_MIM_DIR / 'model-index.yml')
    return {
        model['Name']: str(_MIM_DIR / model['Config'])
        for path in index['Import']
        for model in mmengine.load(_MIM_DIR / path)['Models']
    }
