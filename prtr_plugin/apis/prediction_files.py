import csv
import json
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.model import BaseModel

from ..fileio import write_folder
from ..models.estimators.cascade_data import check_score_thr
from ..visualization import draw_people
from .frames import Frame, FrameWriter, Source, find_sources, read_frames
from .prediction import Person, predict

CSV_FIELDS = ('file', 'frame', 'person', 'joint', 'x', 'y', 'score')


class PredictedFiles(NamedTuple):
    """What :func:`predict_files` did.

    Attributes:
        num_frames (int): Number of pictures and frames
        num_people (int): Number of people in them
        errors (Dict[str, str]): What is wrong with files that were left out
    """

    num_frames: int
    num_people: int
    errors: dict[str, str]


def read_boxes(path: str | Path) -> dict[str, np.ndarray]:
    """Read boxes of people.

    Args:
        path (str | Path): A CSV file with the columns ``file``, ``x1``,
            ``y1``, ``x2``, ``y2`` and, if wanted, ``score``; a JSON file
            with an object from files to lists of [x1, y1, x2, y2] or
            [x1, y1, x2, y2, score]; or annotations or detections in COCO's
            layout, of which people without crowds are taken: the category
            named person or, without that name or any names, number 1

    Returns:
        Dict[str, np.ndarray]: Boxes in shape (N, 5) by the name of the file
        or, for COCO's detections, the number that is its name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has another layout.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'The file of boxes "{path}" does not exist.')
    rows: dict[str, list] = {}
    try:
        if path.suffix.lower() == '.csv':
            with open(path, newline='', encoding='utf-8') as file:
                table = csv.DictReader(file)
                columns = table.fieldnames or []
                lacking = [name for name in ('file', 'x1', 'y1', 'x2', 'y2') if name not in columns]
                if lacking:
                    raise ValueError(
                        f'the first line has the columns {", ".join(map(repr, columns))} and '
                        f'lacks {", ".join(lacking)}; commas separate them'
                    )
                for row in table:
                    numbers = [row['x1'], row['y1'], row['x2'], row['y2'], row.get('score') or 1]
                    rows.setdefault(row['file'], []).append([float(x) for x in numbers])
        else:
            content = json.loads(path.read_text(encoding='utf-8'))
            if isinstance(content, list) or 'annotations' in content:
                content = _coco_boxes(content)
            for name, boxes in content.items():
                rows[name] = [[*map(float, [*box, 1][:5])] for box in boxes]
        found = {name: np.array(boxes).reshape(-1, 5) for name, boxes in rows.items()}
        files = {Path(name).name: name for name in found}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'The file of boxes "{path}" must be a CSV file with the columns file, x1, y1, x2, y2 '
            "(and score), a JSON object from files to lists of [x1, y1, x2, y2], or COCO's "
            f'annotations or detections, but reading it gives {type(error).__name__}: {error}'
        ) from error
    for name in found:
        other = files[Path(name).name]
        if name != other:
            raise ValueError(
                f'The file of boxes "{path}" has "{name}" and "{other}", but boxes belong to the '
                'name of a file without its folder. Give each folder a file of boxes of its own.'
            )
    return {Path(name).name: boxes for name, boxes in found.items()}


def _coco_boxes(content: dict | list[dict]) -> dict[str, list]:
    """Boxes of people by the name of a file or, in detections, by its number."""
    if isinstance(content, list):
        entries, categories, names = content, [], None
    else:
        entries, categories = content['annotations'], content.get('categories', [])
        names = {x['id']: x['file_name'] for x in content['images']}
    people = {c['id'] for c in categories if c.get('name') == 'person'} or {1}
    boxes: dict[str, list] = {name: [] for name in (names or {}).values()}
    for entry in entries:
        if entry.get('category_id', 1) in people and not entry.get('iscrowd'):
            x, y, width, height = entry['bbox']
            name = str(entry['image_id']) if names is None else names[entry['image_id']]
            box = [x, y, x + width, y + height, entry.get('score', 1)]
            boxes.setdefault(name, []).append(box)
    if not any(boxes.values()):
        raise ValueError(f'there is no person in it (category {min(people)})')
    return boxes


def _find_boxes(source: str, boxes: dict[str, np.ndarray]) -> np.ndarray | None:
    """The boxes of a file, by its name or by the number that is its name."""
    return next((boxes[name] for name in _names(source) if name in boxes), None)


def _names(source: str) -> tuple[str, ...]:
    """The names that the boxes of a file may have."""
    path = Path(source)
    return path.name, path.stem, path.stem.lstrip('0')


def _compare_names(files: Collection[str], boxes: dict[str, np.ndarray]) -> None:
    """Tell of files without an entry among the boxes.

    Raises:
        ValueError: If no file has one.
    """
    without = sorted(name for name in files if _find_boxes(name, boxes) is None)
    if not without:
        return
    used = {name for file in files for name in _names(file)}
    others = sorted(boxes.keys() - used)
    if len(without) == len(files):
        what = f'are for other files, such as "{others[0]}"' if others else 'are of no file'
        raise ValueError(
            f'The boxes {what}; the inputs are {", ".join(without[:3])}. The names must be the '
            'same.'
        )
    text = f'{len(without)} of {len(files)} files have no boxes, such as "{without[0]}"'
    if others:
        text += f', and the boxes of {len(others)} names belong to no file, such as "{others[0]}"'
    warnings.warn(f'{text}. Nobody is looked for there.', stacklevel=3)


def predict_files(
    model: BaseModel,
    inputs: Sequence[str | Path],
    out: str | Path,
    boxes: str | Path | dict[str, np.ndarray] | None = None,
    detector: Callable[[list[np.ndarray]], list[np.ndarray]] | None = None,
    batch_size: int = 8,
    score_thr: float = 0.3,
    kpt_thr: float = 0.3,
    draw: bool = True,
    overwrite: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> PredictedFiles:
    """Predict the people in files and write what was found.

    The folder gets the drawn pictures and videos, ``predictions.json`` and
    ``predictions.csv``, one joint a row. It appears when all is done. A file
    that cannot be read is left out and does not end the run. A camera runs
    until Ctrl-C.

    Args:
        model (BaseModel): See :func:`predict`
        inputs (Sequence[str | Path]): See :func:`find_sources`
        out (str | Path): Folder to write
        boxes (str | Path | Dict[str, np.ndarray], optional): Boxes of people,
            or their file, see :func:`read_boxes`. Files that are not in it
            have nobody in them; a warning counts them
        detector (Callable, optional): Finds boxes in a list of pictures, such
            as a :class:`Detector`. Without both, a top-down model takes each
            picture for one person
        batch_size (int): Pictures at a time. Defaults to 8
        score_thr (float): Score above which a person counts. Defaults to 0.3
        kpt_thr (float): Lowest score of a joint that is drawn. Defaults to 0.3
        draw (bool): Whether to draw. Defaults to ``True``
        overwrite (bool): Whether to replace a folder that is not empty.
            Defaults to ``False``
        report (Callable, optional): Is told the number of frames that are
            done, and of all, 0 if that is not known

    Returns:
        PredictedFiles: Counts, and the files that were left out.

    Raises:
        FileExistsError: If ``out`` is not empty and ``overwrite`` not set.
        FileNotFoundError: If an input does not exist.
        ValueError: If boxes do not fit, an argument is out of range, or no
            file could be read.

    Example:
        >>> model = load_run('work_dirs/people5')
        >>> predict_files(model, ['photos/'], 'out')
    """
    check_score_thr(score_thr)
    check_score_thr(kpt_thr, 'kpt_thr')
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, but is {batch_size}.')
    if boxes is not None and detector is not None:
        raise ValueError('Give either boxes or a detector.')
    sources = find_sources(inputs)
    if isinstance(boxes, (str, Path)):
        boxes = read_boxes(boxes)
    if boxes is not None:
        known: dict[str, str] = {}
        for path in (source.path for source in sources):
            other = known.setdefault(Path(path).name, path)
            same = Path(other).resolve() == Path(path).resolve()
            if not same and _find_boxes(path, boxes) is not None:
                raise ValueError(
                    f'The boxes of "{Path(path).name}" could be those of "{other}" or of "{path}". '
                    'Predict them one after the other, with boxes of their own.'
                )
        _compare_names(known, boxes)
    total = sum(source.frames for source in sources)
    if any(source.kind == 'camera' for source in sources):
        total = 0
    nothing = np.empty(0)
    errors: dict[str, str] = {}
    records = []
    with write_folder(out, overwrite) as folder:
        writer = FrameWriter(folder)
        frames = _frames(sources, errors)
        while batch := list(islice(frames, batch_size)):
            for frame, people in zip(
                batch, _predict(model, batch, boxes, detector, score_thr, errors)
            ):
                if people is None:
                    continue
                # only names are needed from here on
                records.append((frame._replace(pixels=nothing), people))
                if draw:
                    meta = model.dataset_meta
                    writer.write(frame, draw_people(frame.pixels, people, meta, kpt_thr))
            if report:
                report(len(records), total)
        writer.close()
        if not records:
            raise ValueError(f'No file could be read: {next(iter(errors.values()))}')
        names = model.dataset_meta['keypoint_id2name']
        _write_json(
            folder / 'predictions.json', [names[i] for i in range(len(names))], records, errors
        )
        _write_csv(folder / 'predictions.csv', records)
    return PredictedFiles(len(records), sum(len(people) for _, people in records), errors)


def _frames(sources: Sequence[Source], errors: dict[str, str]) -> Iterator[Frame]:
    """All frames of all sources, without those that cannot be read."""
    for source in sources:
        try:
            yield from read_frames(source)
        except (OSError, ValueError) as error:
            errors[source.path] = str(error)
        except KeyboardInterrupt:
            if source.kind != 'camera':
                raise
            return  # there is no other end


def _predict(
    model: BaseModel,
    batch: Sequence[Frame],
    boxes: dict[str, np.ndarray] | None,
    detector: Callable | None,
    score_thr: float,
    errors: dict[str, str],
) -> list[list[Person] | None]:
    """The people in each frame, None for one that cannot be used."""
    images = [frame.pixels for frame in batch]
    given = None
    if detector is not None:
        given = detector(images)
    elif boxes is not None:
        given = [_find_boxes(frame.source.path, boxes) for frame in batch]
        given = [np.zeros((0, 5)) if found is None else found for found in given]
    try:
        return list(predict(model, images, given, score_thr=score_thr))
    except ValueError as error:
        if len(batch) == 1:
            errors[batch[0].source.path] = str(error)
            return [None]
    # one of them is the culprit
    return [
        people
        for frame in batch
        for people in _predict(model, [frame], boxes, detector, score_thr, errors)
    ]


def _write_json(path: Path, names: list[str], records: list, errors: dict[str, str]) -> None:
    frames = [
        dict(
            file=frame.source.name,
            frame=frame.number,
            people=[person.to_dict() for person in people],
        )
        for frame, people in records
    ]
    content = dict(keypoint_names=names, frames=frames, errors=errors)
    path.write_text(json.dumps(content, indent=1), encoding='utf-8')


def _write_csv(path: Path, records: list) -> None:
    with open(path, 'w', newline='', encoding='utf-8') as file:
        rows = csv.writer(file)
        rows.writerow(CSV_FIELDS)
        for frame, people in records:
            for i, person in enumerate(people):
                for name, (x, y), score in zip(
                    person.keypoint_names,
                    person.keypoints.tolist(),
                    person.keypoint_scores.tolist(),
                ):
                    rows.writerow(
                        [frame.source.name, frame.number, i, name]
                        + [f'{x:.2f}', f'{y:.2f}', f'{score:.4f}']
                    )
