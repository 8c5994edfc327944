"""The models that the package has configs of."""

from pathlib import Path

import mmengine

# what `mim` reads too: links in the repository, files where it is installed
_MIM_DIR = Path(__file__).parent / '.mim'


def config_paths() -> dict[str, str]:
    """Paths of the config files of the model index by name."""
    index = mmengine.load(_MIM_DIR / 'model-index.yml')
    return {
        model['Name']: str(_MIM_DIR / model['Config'])
        for path in index['Import']
        for model in mmengine.load(_MIM_DIR / path)['Models']
    }
