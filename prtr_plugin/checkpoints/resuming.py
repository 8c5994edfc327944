import re
from pathlib import Path
from typing import Any

from .errors import CheckpointError
from .reading import get_state_dict, read_checkpoint


def find_resumable(
    folder: str | Path, template: str = 'epoch_{}.pth', trust: bool = False
) -> tuple[Path | None, dict, list[str]]:
    """Find the newest checkpoint that training can resume from.

    Newest is what ``last_checkpoint`` names, or what was saved with a larger
    number after it, if the run was killed in between; then those with smaller
    numbers.

    Args:
        folder (str | Path): Folder of the checkpoints
        template (str): Names of its checkpoints, with ``{}`` for the number.
            Defaults to ``'epoch_{}.pth'``
        trust (bool): See :func:`read_checkpoint`

    Returns:
        tuple[Path | None, dict, list[str]]: Path of the checkpoint, or None if
        the folder has no checkpoints; its ``meta``; and for each newer one why
        it is not taken.

    Raises:
        CheckpointError: If there are checkpoints but none can be resumed from.
    """
    numbers = numbered_checkpoints(folder, template)
    last = _last_checkpoint(folder)
    if last is not None and last not in numbers:
        numbers[last] = max(numbers.values(), default=0)

    def newness(path: Path) -> tuple[int, int]:
        number = numbers[path]
        if last is None or path == last:
            return 2, number
        if number < numbers[last]:
            return 1, number
        # a larger number is from the end of this run, or left over from another one
        return 3 if path.stat().st_mtime_ns >= last.stat().st_mtime_ns else 0, number

    skipped: list[str] = []
    for path in sorted(numbers, key=newness, reverse=True):
        try:
            return path, training_state(path, trust), skipped
        except CheckpointError as error:
            skipped.append(str(error))
    if skipped:
        raise CheckpointError(
            f'None of the checkpoints in "{folder}" can be resumed from. Give another work_dir, or '
            'the path of a checkpoint.',
            {'checkpoints': skipped},
        )
    return None, {}, []


def numbered_checkpoints(folder: str | Path, template: str) -> dict[Path, int]:
    """Checkpoints of a run in a folder, with the epochs or steps in their names."""
    before, after = map(re.escape, template.split('{}'))
    paths = Path(folder).glob('*') if Path(folder).is_dir() else ()
    found = {path: re.fullmatch(rf'{before}(\d+){after}', path.name) for path in paths}
    return {path: int(match[1]) for path, match in found.items() if match and path.is_file()}


def _last_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint that the file ``last_checkpoint`` names, if it exists."""
    file = Path(folder, 'last_checkpoint')
    try:
        named = Path(file.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return None
    # the folder may have been moved since
    places = (Path(folder, named.name), named)
    return next((path for path in places if path.is_file()), None)


def training_state(path: str | Path, trust: bool = False) -> dict[str, Any]:
    """Read from a checkpoint how far its training got.

    Args:
        path (str | Path): Checkpoint
        trust (bool): See :func:`read_checkpoint`

    Returns:
        dict: ``epoch``, ``iter`` and all else in its ``meta``.

    Raises:
        FileNotFoundError: If the file does not exist.
        CheckpointError: If training cannot be resumed from it. The message
            names the file.
    """
    checkpoint = read_checkpoint(path, trust)
    try:
        get_state_dict(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from None
    meta, hub = (checkpoint.get(key) for key in ('meta', 'message_hub'))
    known = isinstance(meta, dict) and all(type(meta.get(x)) is int for x in ('epoch', 'iter'))
    parts = ('log_scalars', 'runtime_info', 'resumed_keys')
    known &= isinstance(hub, dict) and all(isinstance(hub.get(x), dict) for x in parts)
    known &= isinstance(checkpoint.get('optimizer'), dict)
    if not known:
        raise CheckpointError(
            f'{path}: It has weights but no state of training (meta, message_hub, optimizer). '
            'Resume from a checkpoint of training, or start from these weights with load_from.'
        )
    return meta
