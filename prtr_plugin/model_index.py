"""The models that the package has configs for."""

import difflib
from pathlib import Path

import mmengine

# what `mim` reads in an installed package, or else the repository
_MIM_DIR = Path(__file__).parent / '.mim'
if not _MIM_DIR.is_dir():
    _MIM_DIR = Path(__file__).parents[1]

# Names for people who have no opinion about backbones: the model that `prtr train`
# starts from, and larger and other ones.
SHORT_NAMES = {
    'prtr-s': 'td-prtr-plus_res18_1xb16-5e_synthetic-128x96',
    'prtr-m': 'td-prtr-plus_res50_4xb32-210e_coco-256x192',
    'prtr-cascade': 'prtr-cascade-plus_res18_1xb8-12e_synthetic-144x192',
}


def model_entries() -> dict[str, dict]:
    """Entries of the model index by model name."""
    index = mmengine.load(_MIM_DIR / 'model-index.yml')
    return {
        model['Name']: model
        for path in index['Import']
        for model in mmengine.load(_MIM_DIR / path)['Models']
    }


def config_paths() -> dict[str, str]:
    """Paths of the config files in the model index, by model name."""
    return {name: str(_MIM_DIR / model['Config']) for name, model in model_entries().items()}


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
    model = name.removesuffix('.py')
    found = paths.get(SHORT_NAMES.get(model, model))
    if found:
        return found
    if name.endswith('.py') or Path(name).name != name:
        raise FileNotFoundError(
            f'The config file "{name}" does not exist. Give the path of one, or the name of a '
            'model, which `prtr models` and prtr_plugin.apis.list_models() list.'
        )
    raise ValueError(
        f'There is no model "{name}". Did you mean {", ".join(nearest_names(name))}? `prtr models` '
        'and prtr_plugin.apis.list_models() list all; a config file is given by its path.'
    )


def nearest_names(name: str, number: int = 5) -> list[str]:
    """The names of models that are most like another one, those for COCO first.

    Args:
        name (str): Any name
        number (int): How many to return. Defaults to 5

    Returns:
        List[str]: Names with the longest common beginning first.
    """

    def key(other: str) -> tuple:
        common = next((i for i, (a, b) in enumerate(zip(name.lower(), other)) if a != b), len(name))
        similar = difflib.SequenceMatcher(None, name.lower(), other).ratio()
        # a letter or two in common say less than the likeness of the whole
        return similar < 0.8, -(common // 4), '_coco-' not in other, -similar

    return sorted([*SHORT_NAMES, *config_paths()], key=key)[:number]
