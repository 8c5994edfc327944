import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class AnnotationError(ValueError):
    """A file of a dataset that a run must not start with."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with one object of a file.

    Attributes:
        file (str): Path of the file
        section (str): ``'file'``, ``'images'``, ``'annotations'``,
            ``'categories'``, ``'detections'`` or ``'metainfo'``
        id (Any): ``id`` of the object, or its index if it has none, or
            ``None`` for a whole section
        field (str): Field of the object, ``''`` for the object itself
        value (Any): Its value, ``None`` if it is missing
        problem (str): What is wrong, the same for all objects of a kind
        remedy (str): What to do
        severity (str): ``'error'`` if a run must not start, or ``'warning'``
    """

    file: str
    section: str
    id: Any
    field: str
    value: Any
    problem: str
    remedy: str
    severity: str = 'error'

    def __str__(self) -> str:
        """One sentence about this object, and the remedy."""
        name = '' if self.id is None else f' {_short(self.id)}'
        value = '' if self.value is None else f'={_short(self.value)}'
        field = f': {self.field}{value}' if self.field else ''
        where = '' if self.section == 'file' else f', {self.section}{name}{field}'
        return f'"{self.file}"{where} {self.problem}. {self.remedy}'


def _short(value: Any, limit: int = 300) -> str:
    """A value as text that fits into a message, whatever it is."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (RecursionError, ValueError):  # deeply nested, or an endless number
        text = f'<{type(value).__name__}>'
    text = text.encode('utf-8', 'backslashreplace').decode()
    return text if len(text) <= limit else f'{text[:limit]}...'


def report(findings: Iterable[Finding], labels: Mapping[str, str] = {}) -> list[str]:
    """Sentences about findings: one for each kind, with the number of its objects.

    Args:
        findings (Iterable[Finding]): Findings
        labels (Mapping[str, str]): What to put before paths of files, such as
            the setting that has them. Defaults to nothing

    Returns:
        List[str]: The first finding of each kind, in their order, with the
        number of other objects with the same problem.
    """
    kinds: dict[tuple, list[Finding]] = {}
    for finding in findings:
        key = (finding.file, finding.section, finding.field, finding.problem)
        kinds.setdefault(key, []).append(finding)
    return [
        labels.get(found[0].file, '')
        + str(found[0])
        + (f' ({len(found)} like this.)' if len(found) > 1 else '')
        for found in kinds.values()
    ]


def raise_errors(findings: list[Finding], labels: Mapping[str, str] = {}) -> None:
    """Stop for errors, or warn once of everything else.

    Args:
        findings (List[Finding]): Findings
        labels (Mapping[str, str]): See :func:`report`

    Raises:
        FileNotFoundError: If a file does not exist.
        AnnotationError: If there is an error of another kind.
    """
    errors = [finding for finding in findings if finding.severity == 'error']
    if errors:
        missing = all(finding.problem == MISSING for finding in errors)
        kind = FileNotFoundError if missing else AnnotationError
        raise kind(' '.join(report(errors, labels)))
    if findings:
        lines = '\n'.join(report(findings, labels))
        warnings.warn(f'{len(findings)} remarks on the data:\n{lines}', stacklevel=3)


MISSING = 'does not exist'
