from collections.abc import Sequence
from typing import Any

import numpy as np

from .columns import ABSENT, is_id
from .findings import Finding


class Section:
    """Objects of a file, by columns.

    Args:
        file (str): Path of the file
        name (str): Section that they are in
        rows (List[dict]): The objects
    """

    def __init__(self, file: str, name: str, rows: list[dict]) -> None:
        self.file, self.name, self.rows = file, name, rows
        self.findings: list[Finding] = []

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, field: str, default: Any = ABSENT) -> list:
        """A field of all objects, ``default`` where it is missing."""
        return [row.get(field, default) for row in self.rows]

    def present(self, field: str) -> np.ndarray:
        """Whether objects have a field, in shape (N, )."""
        return np.fromiter((field in row for row in self.rows), bool, len(self))

    def add(
        self,
        wrong: np.ndarray | Sequence[bool],
        field: str,
        problem: str,
        remedy: str,
        severity: str = 'error',
    ) -> np.ndarray:
        """Add a finding for every object with a problem.

        Args:
            wrong (np.ndarray | Sequence[bool]): Which ones, in shape (N, )
            field (str): See :class:`Finding`
            problem (str): See :class:`Finding`
            remedy (str): See :class:`Finding`
            severity (str): See :class:`Finding`

        Returns:
            np.ndarray: ``wrong``
        """
        wrong = np.asarray(wrong, bool)
        for i in np.flatnonzero(wrong).tolist():
            row = self.rows[i]
            self.findings.append(
                Finding(
                    self.file,
                    self.name,
                    row.get('id', i),
                    field,
                    row.get(field),
                    problem,
                    remedy,
                    severity,
                )
            )
        return wrong

    def add_whole(
        self, field: str, value: Any, problem: str, remedy: str, severity: str = 'error'
    ) -> None:
        """Add a finding about the section, see :meth:`add`."""
        self.findings.append(
            Finding(self.file, self.name, None, field, value, problem, remedy, severity)
        )

    def check_ids(self, field: str, known: dict | None = None, where: str = '') -> np.ndarray:
        """Check ids, or what refers to those of another section.

        Args:
            field (str): ``'id'``, which must be unique, or a reference
            known (dict, optional): Ids that a reference may have, with their
                positions. Defaults to ``None``
            where (str): The section of ``known``

        Returns:
            np.ndarray: Position of the object that is referred to, or -1, in
            shape (N, ).
        """
        values = self.column(field)
        absent = self.add([v is ABSENT for v in values], field, 'is missing', 'Add it.')
        valid = np.fromiter(map(is_id, values), bool, len(values))
        remedy = 'Write ids as integers: 5, and not "5" or 5.0.'
        self.add(~valid & ~absent, field, 'is not an integer from 0 on', remedy)
        if known is None:
            seen: set[int] = set()
            twice = [
                ok and (v in seen or bool(seen.add(v)))  # type: ignore[func-returns-value]
                for v, ok in zip(values, valid)
            ]
            self.add(twice, field, 'is used twice', 'Give each of them a number of its own.')
            return np.arange(len(values))
        found = np.array(
            [known.get(v, -1) if ok else -1 for v, ok in zip(values, valid)], dtype=int
        )
        self.add(
            valid & (found < 0),
            field,
            f'is not an id in "{where}"',
            f'Correct it, or add the missing entry to "{where}".',
        )
        return found

    def positions(self) -> dict[int, int]:
        """Valid ids with their positions."""
        return {row['id']: i for i, row in enumerate(self.rows) if is_id(row.get('id'))}
