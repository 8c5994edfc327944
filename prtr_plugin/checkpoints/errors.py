from collections.abc import Mapping, Sequence


class CheckpointError(ValueError):
    """A checkpoint cannot be read, has another layout or does not fit a model.

    Args:
        message (str): What is wrong, and the remedy
        keys (Mapping[str, Sequence[str]]): Lists of keys by title, shown after
            the message; empty ones are left out and long ones shortened.
            Defaults to none
    """

    def __init__(self, message: str, keys: Mapping[str, Sequence[str]] = {}) -> None:
        for title, names in keys.items():
            if names:
                more = ['...'] if len(names) > 20 else []
                message += '\n  '.join([f'\n{title} ({len(names)}):', *names[:20], *more])
        super().__init__(message)
