from contextlib import suppress
from pathlib import Path

from ..datasets import Finding, find_splits
from ..datasets.own_data import joint_findings, unmended_findings
from ..model_index import find_config
from .annotations import check_annotations


def find_own_config(source: str | Path) -> str | None:
    """The config that somebody means, None for data.

    Args:
        source (str | Path): Folder or file of own data, or the name or file of
            a config

    Returns:
        str | None: Path of the config.

    Raises:
        FileNotFoundError: If it is the path of a config that does not exist.
        ValueError: If there is neither such data nor such a model.
    """
    path = Path(source)
    if path.exists() and path.suffix != '.py':
        return None
    try:
        return find_config(source)
    except (FileNotFoundError, ValueError) as error:
        if path.suffix == '.py':
            raise
        raise ValueError(f'There is no folder or file "{source}". {error}') from None


def check_data(source: str | Path) -> tuple[dict[str, str], list[Finding]]:
    """Look for mistakes in the annotations of own data or of a config.

    Args:
        source (str | Path): Folder or file of own data, see
            :func:`find_splits`, or the name or file of a config

    Returns:
        tuple[Dict[str, str], List[Finding]]: What was looked at, and what is
        wrong, see :func:`check_annotations`. Fields that
        :func:`prepare_data` fills in may be missing; ``'mended'`` names them.

    Raises:
        FileNotFoundError: If a file or a picture does not exist.
        ValueError: If ``source`` is neither a dataset nor a config.
    """
    config = find_own_config(source)
    if config:
        return dict(config=config), check_annotations(config)
    rows: dict[str, str] = {}
    findings: list[Finding] = []
    notes: list[str] = []
    splits = find_splits(source)
    for role, split in splits.items():
        content = split.content
        joints = [category.get('keypoints') or [] for category in content['categories']]
        rows[role] = (
            f'{split.file}: {len(content["images"])} pictures, '
            f'{len(content["annotations"])} annotations, {max(map(len, joints), default=0)} joints'
        )
        findings += unmended_findings(split, notes)
    if notes:
        rows['mended'] = '; '.join(notes)
    # what a file without any joints is told already
    with suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
        findings += joint_findings(splits)
    return rows, findings
