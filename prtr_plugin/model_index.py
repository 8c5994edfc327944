"""The models that the package has configs for."""

import difflib
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


def find_config(name: str | Path) -> str:
    """Path of the config file of a model.

    Args:
        name (str | Path): Path of a config file, or the name of a model, with
            or without ``.py``

    Returns:
        str: The path.

    Raises:
        FileNotFoundError: If it is the path of a missing file.
        ValueError: If it is no name of a model. The message lists the names.
    """
    name = str(name)
    if Path(name).is_file():
        return name
    paths = config_paths()
    found = paths.get(name.removesuffix('.py'))
    if found:
        return found
    if name.endswith('.py') or Path(name).name != name:
        raise FileNotFoundError(
            f'The config file "{name}" does not exist. Give the path of one, or the name of a '
            'model, which prtr_plugin.apis.list_models() lists.'
        )
    close = difflib.get_close_matches(name, paths, n=3, cutoff=0.4)
    others = sorted(set(paths).difference(close))
    raise ValueError(
        f'There is no model "{name}". '
        + (f'Did you mean {" or ".join(close)}? ' if close else '')
        + f'There are also: {", ".join(others)}. To use a config file, give '
        'its path, which ends with .py.'
    )
