"""Writing files and folders whole or not at all, and where they may be written."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def write_file(path: str | Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Parent folders are created. If the block raises, nothing is written and an
    existing file stays as it is. The content has reached the disk before the
    name appears, so that this holds when the process is killed or the power
    fails, too.

    Args:
        path (str | Path): File to create or to replace

    Yields:
        Path: File of the same name in a temporary folder beside ``path``, to
        be written by the block.

    Raises:
        IsADirectoryError: If ``path`` is a folder.

    Example:
        >>> with write_file('new/model.pth') as file:
        ...     torch.save(checkpoint, file)
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise IsADirectoryError(f'"{path}" is a folder. Give the path of a file.')
    with _folder_beside(path) as folder:
        yield folder / path.name
        _flush(folder / path.name)
        (folder / path.name).replace(path)
        _flush(path.parent)


@contextmanager
def write_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a folder whole or not at all.

    Parent folders are created. If the block raises, nothing is written and an
    existing folder stays as it is.

    Args:
        path (str | Path): Folder to create
        overwrite (bool): Whether to replace a folder that is not empty.
            Defaults to ``False``

    Yields:
        Path: Empty temporary folder beside ``path``, to be filled by the
        block.

    Raises:
        FileExistsError: If the folder is not empty and ``overwrite`` is not
            set.
        NotADirectoryError: If ``path`` is a file.

    Example:
        >>> with write_folder('new/dataset') as folder:
        ...     (folder / 'settings.json').write_text('{}')
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f'"{path}" is a file. Give the path of a folder.')
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise FileExistsError(f'The folder "{path}" is not empty. Empty it, or give another one.')
    with _folder_beside(path) as folder:
        new, old = folder / 'new', folder / 'old'
        new.mkdir()
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise


def check_output(
    path: str | Path,
    force: bool = False,
    formats: Iterable[str] = (),
    inputs: Iterable[str | Path] = (),
) -> None:
    """Check that a file can be written, before the work for it begins.

    Args:
        path (str | Path): File to write. Folders that are missing are going to
            be created
        force (bool): Whether an existing file may be replaced. Defaults to
            ``False``
        formats (Iterable[str]): Endings to choose from, such as ``'.json'``.
            Defaults to any
        inputs (Iterable[str | Path]): Files that must stay. Defaults to none

    Raises:
        FileExistsError: If the file exists and ``force`` is not set.
        IsADirectoryError: If ``path`` is a folder.
        NotADirectoryError: If a part of its path is a file.
        PermissionError: If its folder cannot be written to.
        ValueError: If the ending is unknown, or the file is one of the inputs.
    """
    path, formats = Path(path), list(formats)
    if formats and path.suffix.lower() not in formats:
        raise ValueError(f'The output "{path}" must end with one of {", ".join(formats)}.')
    if any(path.resolve() == Path(x).resolve() for x in inputs):
        raise ValueError(f'The output must not replace the input "{path}". Give another path.')
    if path.is_dir():
        raise IsADirectoryError(f'"{path}" is a folder. Give the path of a file.')
    _check_parent(path)
    if path.exists() and not force:
        raise FileExistsError(f'"{path}" exists. Give another name, or --force to replace it.')


def check_output_folder(path: str | Path, force: bool = False) -> None:
    """Check that files can be written to a folder, see :func:`check_output`.

    Args:
        path (str | Path): Folder that may be missing or empty
        force (bool): Whether it may hold files, which are replaced if they
            have the names of new ones. Defaults to ``False``

    Raises:
        FileExistsError: If the folder is not empty and ``force`` is not set.
        NotADirectoryError: If a part of the path is a file.
        PermissionError: If the folder cannot be written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f'"{path}" is a file. Give the path of a folder.')
    _check_parent(path / 'file')
    if path.is_dir() and any(path.iterdir()) and not force:
        raise FileExistsError(
            f'The folder "{path}" is not empty. Give another one, or --force to write into it.'
        )


def _check_parent(path: Path) -> None:
    existing = next(parent for parent in path.resolve().parents if parent.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f'"{existing}" is a file, so "{path}" cannot be written.')
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f'The folder "{existing}" is not writable. Give another path.')


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_file():
        with open(path, 'rb+') as file:
            os.fsync(file)
        return
    with suppress(OSError):  # not every system has it for folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_unfinished(path: str | Path, name: str) -> None:
    """Remove what :func:`write_file` leaves behind when the process is killed.

    Args:
        path (str | Path): Folder of the files, which nobody else may be
            writing
        name (str): Pattern of their names, such as ``'*.pth'``
    """
    for folder in Path(path).glob(f'.{name}-????????'):
        if re.fullmatch(r'[a-z0-9_]{8}', folder.name[-8:]) and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the file system of ``path``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}-', dir=path.parent))
    except OSError as error:
        raise type(error)(
            f'"{path}" cannot be written: {error.strerror}. Give another path.'
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
