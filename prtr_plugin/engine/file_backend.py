from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ..fileio import write_file


class WholeFileBackend(LocalBackend):
    """mmengine's local files, written whole or not at all.

    Use it where mmengine takes ``backend_args``, as
    ``dict(backend='WholeFileBackend')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes, see :func:`write_file`."""
        with write_file(filepath) as file:
            file.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text, see :func:`write_file`."""
        self.put(obj.encode(encoding), filepath)


register_backend('WholeFileBackend', WholeFileBackend, force=True)
