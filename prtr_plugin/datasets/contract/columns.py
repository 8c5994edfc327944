"""Columns of numbers out of lists of objects that may hold anything."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

ABSENT: Any = object()
INT64, FLOAT = 2**63, 2**1023


def is_id(value: Any) -> bool:
    """Whether a value can be an id: an integer from 0 on that fits into 64 bits."""
    return type(value) is int and 0 <= value < INT64


def is_number(value: Any) -> bool:
    """Whether a value is a number that fits into a float; not ``bool``."""
    return type(value) is float or (type(value) is int and abs(value) < FLOAT)


def number_column(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """A column of numbers.

    Args:
        values (Sequence): N values of any type

    Returns:
        tuple[np.ndarray, np.ndarray]: The numbers in shape (N, ), NaN where a
        value is not a number, and in shape (N, ) whether it is one.
    """
    valid = np.fromiter(map(is_number, values), bool, len(values))
    numbers = np.full(len(values), np.nan)
    numbers[valid] = [v for v, ok in zip(values, valid) if ok]
    return numbers, valid


def number_rows(values: Sequence[Any], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers.

    Args:
        values (Sequence): N values, lists of ``length`` numbers if all is well
        length (int): Length of a row

    Returns:
        tuple[np.ndarray, np.ndarray]: The numbers in shape (N, length), NaN in
        rows that are not lists of ``length`` numbers, and in shape (N, )
        whether they are.
    """
    valid = np.fromiter((type(v) is list and len(v) == length for v in values), bool, len(values))
    rows = np.full((len(values), length), np.nan)
    lists = [v for v, ok in zip(values, valid) if ok]
    try:
        if not set(map(type, chain.from_iterable(lists))) <= {int, float}:
            raise TypeError
        flat = np.fromiter(chain.from_iterable(lists), float, len(lists) * length)
    except (TypeError, OverflowError):
        numeric = [all(map(is_number, v)) for v in lists]
        valid[np.flatnonzero(valid)[np.logical_not(numeric)]] = False
        flat = np.array([v for v, ok in zip(lists, numeric) if ok], float)
    rows[valid] = flat.reshape(-1, length)
    return rows, valid
