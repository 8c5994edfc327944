from pathlib import Path

from mmengine.config import Config

from ..datasets import check_data_files, find_splits
from .config import load_config


def check_data(source: str | Path) -> tuple[dict[str, str], list[str]]:
    """Look for mistakes in the annotations of a dataset or of a config.

    Args:
        source (str | Path): Folder or file of own data, see
            :func:`find_splits`, or the name or file of a config

    Returns:
        tuple[Dict[str, str], List[str]]: What was found by split, and the
        findings in sentences.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If ``source`` is not a dataset.
    """
    path = Path(source)
    rows: dict[str, str] = {}
    if path.exists() and path.suffix != '.py':
        cfg = Config()
        for role, split in find_splits(path).items():
            content = split.content
            joints = [category.get('keypoints') or [] for category in content['categories']]
            names = max(joints, key=len, default=[])
            rows[role] = (
                f'{split.file}: {len(content["images"])} pictures, '
                f'{len(content["annotations"])} annotations, {len(names)} joints'
            )
            dataset = dict(ann_file=str(split.file), data_prefix=dict(img=str(split.image_dir)))
            cfg[f'{role}_dataloader'] = dict(dataset=dataset)
    else:
        cfg = load_config(str(source))
        rows['config'] = str(cfg.filename)
    try:
        check_data_files(cfg)
    except (FileNotFoundError, ValueError) as error:
        return rows, [f'Error: {error}']
    return rows, []
