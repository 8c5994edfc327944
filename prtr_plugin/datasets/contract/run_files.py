"""The files that a run will read, and what for."""

import os.path as osp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmpose.datasets import CocoWholeBodyDataset
from mmpose.datasets.datasets import BaseCocoStyleDataset
from mmpose.evaluation import CocoMetric
from mmpose.registry import DATASETS, METRICS

from ...evaluation import PersonBoxMetric
from ..coco_person import CocoPersonDataset
from .annotations import FileUse, check_annotations
from .findings import MISSING, Finding, raise_errors
from .metainfo import check_metainfo
from .reading import read_json

# of COCO-WholeBody; they are parts of the joints of the metainfo
WHOLEBODY = dict(keypoints=17, foot_kpts=6, face_kpts=68, lefthand_kpts=21, righthand_kpts=21)


@dataclass
class RunFile:
    """A file that a run will read.

    Attributes:
        field (str): The setting that has it
        path (str): Its path
        use (FileUse, optional): What it is used for; ``None`` if it is not in
            COCO's layout
    """

    field: str
    path: str
    use: FileUse | None = None


def check_data_files(cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')) -> None:
    """Check the files of datasets and evaluators before a run.

    Warnings are issued once, with the number of objects that they are about.
    Only files on this machine are checked.

    Args:
        cfg (Config): Whole config with any of ``train_dataloader``,
            ``val_dataloader`` and ``test_dataloader``. With
            ``check_pictures=False`` pictures are not looked for, which may
            take long on network drives
        splits (Sequence[str]): Dataloaders that the run will use. Defaults
            to all three

    Raises:
        FileNotFoundError: If a file does not exist.
        AnnotationError: If a run must not start with a file, see
            ``docs/datasets.md``.
    """
    findings, labels = find_data_problems(cfg, splits)
    raise_errors(findings, labels)


def find_data_problems(
    cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')
) -> tuple[list[Finding], dict[str, str]]:
    """Look at the files of datasets and evaluators.

    Args:
        cfg (Config): See :func:`check_data_files`
        splits (Sequence[str]): See :func:`check_data_files`

    Returns:
        tuple:
        - findings (List[Finding]): What is wrong with them
        - labels (Dict[str, str]): For paths of files the setting that has
          them, for :func:`report`
    """
    findings: list[Finding] = []
    labels: dict[str, str] = {}
    for split in splits:
        # of datasets inside which there are others
        for dataset in _with_key(cfg.get(f'{split}_dataloader'), 'metainfo'):
            if not dataset.get('ann_file'):
                findings += check_metainfo(dataset['metainfo'], f'{split}_dataloader')[0]
    for file in run_files(cfg, splits):
        labels.setdefault(file.path, f'{file.field} ')
        if file.use is not None:
            if file.use.bbox_file:
                split = file.field.partition(':')[0]
                labels.setdefault(file.use.bbox_file, f'{split}: bbox_file ')
            findings += check_annotations(file.path, file.use)
        elif not osp.exists(file.path):
            remedy = 'Correct the path, or set data_root to the folder of the dataset.'
            findings.append(Finding(file.path, 'file', None, '', None, MISSING, remedy))
        elif file.path.endswith('.json'):
            findings += read_json(file.path)[1]
    return findings, labels


def run_files(cfg: Config, splits: Sequence[str] = ('train', 'val', 'test')) -> list[RunFile]:
    """The files that a run will read, once each.

    Args:
        cfg (Config): See :func:`check_data_files`
        splits (Sequence[str]): See :func:`check_data_files`

    Returns:
        List[RunFile]: The files of datasets, those inside of others included,
        and of evaluators.
    """
    files: dict[Any, RunFile] = {}
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if not isinstance(loader, dict):
            continue
        datasets = _with_key(loader, 'ann_file')
        mine = [file for dataset in datasets for file in _dataset_files(dataset, split)]
        if not cfg.get('check_pictures', True):
            for file in mine:
                if file.use is not None:
                    file.use.img_dir = None
        if split != 'train':
            mine += _evaluator_files(cfg.get(f'{split}_evaluator'), mine, split)
        for file in mine:
            if '://' in file.path:
                continue
            use = file.use
            key = (osp.normpath(file.path), use and (str(use.metainfo), use.bbox_file, use.img_dir))
            if key not in files:
                files[key] = file
            elif use is not None:
                _merge(files[key].use, use)
    return list(files.values())


def _with_key(cfg: Any, key: str) -> Iterator[dict]:
    """All configs of datasets with a key in a config, wrapped ones included."""
    if isinstance(cfg, dict):
        if cfg.get(key):
            yield cfg
        for name, value in cfg.items():
            if name not in ('pipeline', 'metainfo'):
                yield from _with_key(value, key)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _with_key(value, key)


def _get(registry: Registry, cfg: dict, default: type) -> Any:
    """The class that a config names, or a default if it is not known."""
    kind = cfg.get('type')
    if isinstance(kind, str):
        kind = registry.get(kind)
    return kind if isinstance(kind, type) else default


def _dataset_files(cfg: dict, split: str) -> Iterator[RunFile]:
    """The files of a dataset; mmengine joins the paths in this way."""
    root, kind = cfg.get('data_root') or '', _get(DATASETS, cfg, BaseCocoStyleDataset)
    path = osp.join(root, str(cfg['ann_file']))
    field = f'{split}_dataloader: ann_file'
    if cfg.get('headbox_file'):
        yield RunFile(f'{split}_dataloader: headbox_file', str(cfg['headbox_file']))
    if not _is_coco(kind):
        yield RunFile(field, path)
        return
    wholebody = issubclass(kind, CocoWholeBodyDataset)
    own_layout = kind.parse_data_info is not BaseCocoStyleDataset.parse_data_info
    prefix = cfg.get('data_prefix')
    img_dir = osp.join(root, prefix.get('img') or '' if isinstance(prefix, dict) else '')
    bbox_file = str(cfg.get('bbox_file') or '')
    yield RunFile(
        field,
        path,
        FileUse(
            metainfo=cfg.get('metainfo') or kind.METAINFO or None,
            img_dir=None if '://' in img_dir else img_dir,
            bbox_file=bbox_file if bbox_file and '://' not in bbox_file else None,
            whole_images=cfg.get('data_mode') == 'bottomup' or issubclass(kind, CocoPersonDataset),
            fields=WHOLEBODY if wholebody else {},
            people=not own_layout or wholebody or issubclass(kind, CocoPersonDataset),
            required=('num_keypoints', 'iscrowd', 'segmentation') if wholebody else (),
        ),
    )


def _is_coco(kind: type) -> bool:
    """Whether a dataset reads annotations in COCO's layout."""
    read = getattr(kind, '_load_annotations', None)
    base = BaseCocoStyleDataset._load_annotations
    return issubclass(kind, BaseCocoStyleDataset) and read is base


def _evaluator_files(evaluators: Any, files: list[RunFile], split: str) -> Iterator[RunFile]:
    """Tell the files of a split what metrics read, and find those of metrics alone."""
    if not isinstance(evaluators, (list, tuple)):
        evaluators = [evaluators]
    metrics = [cfg for cfg in evaluators if isinstance(cfg, dict)]
    metrics = [m for cfg in metrics for m in cfg.get('metrics') or [cfg] if isinstance(m, dict)]
    uses = [file.use for file in files if file.use is not None]
    submission = bool(metrics) and all(metric.get('format_only') for metric in metrics)
    for use in uses:
        use.annotated = not (submission and (use.bbox_file or use.whole_images))
    for metric in metrics:
        kind, ann_file = _get(METRICS, metric, object), metric.get('ann_file')
        reads = FileUse(annotated=not metric.get('format_only'))
        if issubclass(kind, CocoMetric) and reads.annotated:
            reads.keypoints = not issubclass(kind, PersonBoxMetric)
            reads.area = bool(metric.get('use_area', True))
            reads.crowded = metric.get('iou_type') == 'keypoints_crowd'
        if not isinstance(ann_file, str):
            for use in uses:
                _merge(use, reads)
            continue
        same = [f for f in files if osp.normpath(f.path) == osp.normpath(ann_file)]
        for file in same:
            _merge(file.use, reads)
        if same:
            continue
        field = f'{split}_evaluator: ann_file'
        if not issubclass(kind, CocoMetric) or len(uses) != 1:
            yield RunFile(field, ann_file)
            continue
        if '://' not in ann_file:
            uses[0].evaluator_file = ann_file
        # it must fit, but its pictures are not loaded
        reads.metainfo, reads.fields, reads.people = (
            uses[0].metainfo,
            uses[0].fields,
            uses[0].people,
        )
        yield RunFile(field, ann_file, reads)


def _merge(use: FileUse | None, other: FileUse) -> None:
    """Add another use of the same file."""
    if use is not None:
        for name in ('annotated', 'keypoints', 'area', 'crowded', 'whole_images'):
            setattr(use, name, getattr(use, name) or getattr(other, name))
        use.evaluator_file = use.evaluator_file or other.evaluator_file
