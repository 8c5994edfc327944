"""Where the annotations and pictures of a keypoint dataset lie."""

import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

_ROLES = dict(
    train=('train', 'training', 'trainval'),
    val=('val', 'valid', 'validation'),
    test=('test', 'testing'),
)
_PATTERNS = ('*.json', '*/*.json', '*/annotations/*.json')


class Split(NamedTuple):
    """A part of a dataset.

    Attributes:
        file (Path): Annotation file
        image_dir (Path): Folder that ``file_name`` of its images is relative to
        content (dict): What the file holds
        changed (bool): Whether ``content`` differs from the file
    """

    file: Path
    image_dir: Path
    content: dict
    changed: bool = False


def find_splits(data: str | Path) -> dict[str, Split]:
    """Find the annotation files of a dataset, and the pictures of each.

    Known are the layouts of COCO (``annotations/*_train*.json`` and a folder
    for each split), CVAT (``annotations/*.json`` and ``images/``), Roboflow
    (``train/_annotations.coco.json`` beside the pictures) and Label Studio
    (``result.json`` and ``images/``), and mixtures of them.

    Args:
        data (str | Path): Folder of the dataset, or an annotation file

    Returns:
        Dict[str, Split]: The parts by their role, ``'train'``, ``'val'`` or
        ``'test'``. A file whose path names no role, and a single one, is
        ``'train'``.

    Raises:
        FileNotFoundError: If there is no such path, no annotation file, or a
            picture cannot be found.
        ValueError: If an annotation file is not in COCO's layout, two have
            the same role, or pictures of the same names are in several
            folders.
    """
    root, files = find_files(data)
    check_training(data, files)
    return {role: read_split(file, root) for role, file in files.items()}


def check_training(data: str | Path, files: dict[str, Path]) -> None:
    """Check that there is something to train on.

    Raises:
        ValueError: If there is not.
    """
    if 'train' not in files:
        raise ValueError(
            f'data "{data}" has annotation files for {" and ".join(files)}, but none to train '
            'on. Put "train" into the name of one.'
        )


def find_files(data: str | Path) -> tuple[Path, dict[str, Path]]:
    """The folder of a dataset, and its annotation files by their role.

    See :func:`find_splits`, which also looks into them.
    """
    data = Path(data).expanduser().resolve()
    if not data.exists():
        raise FileNotFoundError(f'data "{data}" does not exist.')
    if data.is_file():
        root = data.parent.parent if data.parent.name == 'annotations' else data.parent
        files = [data]
    else:
        root, files = data, _annotation_files(data)
    by_role: dict[str, list[Path]] = {}
    for file in files:
        by_role.setdefault(_role(file.relative_to(root)) or 'train', []).append(file)
    for role, found in by_role.items():
        if len(found) > 1:
            names = ', '.join(str(file.relative_to(root)) for file in found)
            raise ValueError(
                f'data "{data}" has several annotation files for "{role}": {names}. Give the '
                'one to use instead of the folder.'
            )
    if len(files) == 1:
        by_role = {'train': files}
    return root, {role: file for role, (file,) in by_role.items()}


def _annotation_files(root: Path) -> list[Path]:
    """The files below a folder that may hold keypoints in COCO's layout."""
    found = [file for pattern in _PATTERNS for file in sorted(root.glob(pattern))]
    # beside keypoints, COCO has captions and instances
    named = [file for file in found if re.search('keypoint|_annotations', file.name)]
    files = named or [file for file in found if _has_sections(file)]
    if not files:
        raise FileNotFoundError(
            f'data "{root}" has no annotation file in COCO\'s layout. Looked for '
            f'{", ".join(_PATTERNS)} with "images", "annotations" and "categories": export the '
            'labels as "COCO keypoints", or give the file.'
        )
    return files


def _has_sections(file: Path) -> bool:
    """Whether a file holds the sections of COCO."""
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError:
        return False
    return isinstance(content, dict) and {'images', 'annotations', 'categories'} <= set(content)


def _role(path: Path) -> str | None:
    """The role that a file's path below the dataset names, the file's name first."""
    for part in (path.stem, *reversed(path.parent.parts)):
        words = re.split('[^a-z]+', part.lower())
        for role, names in _ROLES.items():
            if set(words) & set(names):
                return role
    return None


def read_annotations(file: Path) -> dict:
    """Read an annotation file in COCO's layout.

    Raises:
        ValueError: If it is not JSON, or its sections are not lists of
            objects with the fields that everything else rests on.
    """
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(
            f'"{file}" is not valid JSON ({error}). It may be cut off: export it again.'
        ) from error
    needed = dict(images=('id', 'file_name'), annotations=('image_id',), categories=('id',))
    for section, fields in needed.items():
        entries = content.get(section) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(
                f'"{file}" has no list "{section}". COCO keypoint files have "images", '
                '"annotations" and "categories".'
            )
        for i, entry in enumerate(entries):
            missing = [
                field for field in fields if not isinstance(entry, dict) or field not in entry
            ]
            if missing:
                raise ValueError(f'{section}[{i}] of "{file}" lacks {missing}: export it again.')
    if not content['images']:
        raise ValueError(f'"{file}" has no images.')
    return content


def read_split(file: Path, root: Path) -> Split:
    """Read an annotation file, and find its pictures below a folder.

    Raises:
        FileNotFoundError: See :func:`find_splits`.
        ValueError: See there.
    """
    content = read_annotations(file)
    names = [image['file_name'] for image in content['images']]
    for image in content['images']:
        # Windows tools write backslashes
        image['file_name'] = str(PurePosixPath(str(image['file_name']).replace('\\', '/')))
    folder = _image_dir(content['images'], file, root)
    changed = names != [image['file_name'] for image in content['images']]
    return Split(file, folder, content, changed)


def _image_dir(images: list[dict[str, Any]], file: Path, root: Path) -> Path:
    """The folder that the file names of images are relative to."""
    names = [PurePosixPath(image['file_name']) for image in images]
    if all((file.parent / name).is_file() for name in names[:3]):
        return file.parent  # below it may be a whole disk
    groups = _folders(file, root)
    missing, most = str(names[0]), 0
    # the first folders of a name may be those of another machine
    for skip in range(max(len(name.parts) for name in names)):
        shorter = [str(PurePosixPath(*x.parts[min(skip, len(x.parts) - 1) :])) for x in names]
        if len(set(shorter)) < len(set(names)):
            break  # two pictures would become one
        # of a large dataset in a folder of many others a part, as there may be many folders
        step = -(-len(names) // 100) if skip else 1
        positions = range(0, len(names), step)[: None if skip else 3]
        for folders in groups:
            found = []
            for folder in folders:
                absent = [i for i in positions if not (folder / shorter[i]).is_file()]
                # a few that are missing are reported later, by their names
                if len(absent) <= (0.1 * len(positions) if skip else 0):
                    found.append(folder)
                elif len(positions) - len(absent) > most:
                    missing, most = str(names[absent[0]]), len(positions) - len(absent)
            if found:
                for image, name in zip(images, shorter):
                    image['file_name'] = name
                return _outermost(found, file, shorter[0])
    raise FileNotFoundError(
        f'"{file}" names the picture "{missing}", which is in no folder below "{root}". Put the '
        'pictures into "images" there, or give the folder above both as data.'
    )


def _outermost(folders: list[Path], file: Path, name: str) -> Path:
    """The folder above all others, which may hold small or changed copies.

    Raises:
        ValueError: If there is none.
    """
    outer = min(folders, key=lambda folder: len(folder.parts))
    above = outer.resolve()  # links lead to the same folder
    others = [f for f in folders if above not in (f.resolve(), *f.resolve().parents)]
    if others:
        raise ValueError(
            f'The pictures of "{file}", such as "{name}", are in several folders: '
            f'{", ".join(map(str, [outer, *others][:3]))}. Put those to use into one called '
            '"images", take the others away, or write the folder into "file_name", as in '
            f'"{outer.name}/{name}".'
        )
    return outer


def _folders(file: Path, root: Path) -> list[list[Path]]:
    """Folders that may hold the pictures, in groups, the likely ones first."""
    role = _role(file.relative_to(root)) or 'train'
    groups: dict[tuple[bool, bool], list[Path]] = {}
    for name, _, _ in sorted(os.walk(root, followlinks=True)):
        folder = Path(name)
        below = folder.relative_to(root)
        if folder != file.parent and not any(part.startswith('.') for part in below.parts):
            key = _role(below) != role, 'images' not in below.parts
            groups.setdefault(key, []).append(folder)
    return [[file.parent], *(groups[key] for key in sorted(groups))]
