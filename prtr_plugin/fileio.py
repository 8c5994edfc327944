"""Writing files and folders whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_file(path: str | Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Parent folders are created. If the block raises, nothing is written and an
    existing file stays as it is.

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
        (folder / path.name).replace(path)


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


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the file system of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}-', dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
