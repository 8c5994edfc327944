import json
import os.path as osp
from collections.abc import Iterator, Sequence

from mmengine.config import Config


def _dataset_cfgs(cfg: dict) -> Iterator[dict]:
    """All dataset configs below a config, wrapped ones included."""
    if cfg.get('ann_file'):
        yield cfg
    inner = cfg.get('datasets', [])
    for child in [cfg.get('dataset'), *inner]:
        if isinstance(child, dict):
            yield from _dataset_cfgs(child)


def _data_files(cfg: Config, splits: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(field, path) of the annotation and box files of a config, once each."""
    seen = set()
    for split in splits:
        for dataset in _dataset_cfgs(cfg.get(f'{split}_dataloader') or {}):
            # mmengine prepends data_root to ann_file, but not to bbox_file
            paths = dict(
                ann_file=osp.join(dataset.get('data_root') or '', dataset['ann_file']),
                bbox_file=dataset.get('bbox_file'),
            )
            for field, path in paths.items():
                if path and '://' not in path and path not in seen:
                    seen.add(path)
                    yield f'{split}_dataloader: {field}', path


def _has_labelled_person(data: dict) -> bool:
    """Whether mmpose would keep at least one annotated person."""
    for annotation in data['annotations']:
        bbox = annotation.get('bbox', (0, 0, 0, 0))
        visible = annotation.get('keypoints', ())[2::3]
        if not annotation.get('iscrowd') and any(visible) and min(bbox[2:]) > 0:
            return True
    return False


def check_data_files(cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')) -> None:
    """Check the annotation files of a config before a run.

    mmpose's datasets fail on a damaged file with an error that names neither
    the file nor the remedy. Only JSON files on this machine are checked.

    Args:
        cfg (Config): Whole config with any of ``train_dataloader``,
            ``val_dataloader`` and ``test_dataloader``
        splits (Sequence[str]): Dataloaders that the run will use. Defaults
            to all three

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not JSON, lacks a section of the COCO format,
            or has no person with a box and a labelled joint.
    """
    for field, path in _data_files(cfg, splits):
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'{field} "{path}" does not exist. Correct the path, or set '
                'data_root to the folder of the dataset.'
            )
        if not path.endswith('.json'):
            continue
        try:
            with open(path, encoding='utf-8') as file:
                data = json.load(file)
        except ValueError as error:  # not JSON, or not even text
            raise ValueError(
                f'{field} "{path}" is not valid JSON ({error}). It may be cut '
                'off: download or write it again.'
            ) from error
        if not isinstance(data, dict):
            continue  # MPII annotations and detections are lists
        missing = [
            section for section in ('images', 'annotations', 'categories') if section not in data
        ]
        if missing:
            raise ValueError(
                f'{field} "{path}" lacks {missing}. COCO keypoint files have '
                '"images", "annotations" and "categories".'
            )
        if not _has_labelled_person(data):
            raise ValueError(
                f'{field} "{path}" has no person with a box and a labelled '
                f'joint among its {len(data["annotations"])} annotations: '
                'check "bbox" (width and height above 0), "keypoints" '
                '(visibility above 0) and "iscrowd" (0).'
            )
