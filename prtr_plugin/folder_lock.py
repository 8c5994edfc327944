"""One run at a time in a work folder."""

import errno
import os
import socket
import warnings
from pathlib import Path
from typing import IO

_locks: dict[Path, IO[str]] = {}


def lock_folder(path: str | Path) -> None:
    """Keep other processes that lock a folder out of it.

    The lock belongs to this process, not to its children, and ends with it,
    however it ends. Locking twice is no error.

    Args:
        path (str | Path): Folder, which is created if it is missing

    Raises:
        BlockingIOError: If another process has the lock.
    """
    path = Path(path).resolve()
    if path in _locks:
        return
    path.mkdir(parents=True, exist_ok=True)
    file = open(path / '.lock', 'a+')
    try:
        _lock(file)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            warnings.warn(f'"{path}" is on a file system without locks: {error}.', stacklevel=2)
            return
        raise BlockingIOError(
            f'Another run ({owner}) is using the folder "{path}". Give another work_dir, or stop '
            'that run first.'
        ) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    _locks[path] = file


def unlock_folder(path: str | Path) -> None:
    """Undo :func:`lock_folder`."""
    file = _locks.pop(Path(path).resolve(), None)
    if file is not None:
        file.close()


def _lock(file: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(2**30)  # other processes cannot read what is locked
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        # not flock: children would keep the lock of a parent that was killed
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
