"""The models that the package has configs for."""

from pathlib import Path

import mmengine

# also read by `mim`: links in the repository, files in an installed package
_MIM_DIR = Path(__file__).parent / '.mim'


def config_paths() -> dict[str, str]:
    """Paths of the config files in the model index, by model name."""
    index = mmengine.load(_MIM_DIR / 'model-index.yml')
    return {
        model['Name']: str(_MIM_DIR / model['Config'])
        for path in index['Import']
        for model in mmengine.load(_MIM_DIR / path)['Models']
    }
