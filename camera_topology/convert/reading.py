"""Files that anybody may have written: their text, numbers and matrices, and what is wrong with them in one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import text_file
from pipeline.errors import UserError, shown

Matrix = NDArray[np.float64]
Values = dict[str, Any]  # of a site file, as YAML holds them
_LARGEST = 1e30  # beyond it, products of matrices overflow
_MOST_BYTES = 64 << 20  # a hundred cameras of NVIDIA's, with all their points, have ten


def text_of(path: Path, what: str) -> str:
    """The text of a file.

    Args:
        what: 'camera layout', for messages.

    Raises:
        UserError: as `pipeline.text_file.text_of`, or there is none in it.
    """
    text = text_file.text_of(path, what, _MOST_BYTES)
    if not text.strip():
        raise UserError(f"{path}: is empty, and no {what}; look whether it is the right file.")
    return text


def number(value: Any, where: str) -> float:
    """A finite number, of 1e30 at most, from what JSON, XML or a line of text has; ``where`` (file and place) is for messages.

    Raises:
        UserError: it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) <= _LARGEST:
        raise UserError(f"{where}: wants a finite number (found {shown(value)}).")
    return found


def matrix(value: Any, shape: tuple[int, int], where: str) -> Matrix:
    """A matrix (of ``shape``) from a list of rows; ``where`` (file and place) is for messages.

    Raises:
        UserError: another shape, or an entry that is no finite number.
    """
    rows, columns = shape
    if (
        not isinstance(value, list)
        or len(value) != rows
        or not all(isinstance(row, list) and len(row) == columns for row in value)
    ):
        raise UserError(f"{where}: wants a matrix of {rows} rows of {columns} numbers{_size(value)}.")
    return np.array([[number(entry, where) for entry in row] for row in value])


def _size(value: Any) -> str:
    if not isinstance(value, list):
        return f" (found {shown(value)})"
    lengths = {len(row) if isinstance(row, list) else 0 for row in value}
    return f" (found {len(value)} of {' or '.join(map(str, sorted(lengths))) or 'none'})"


def natural_key(name: str) -> list[tuple[int, str]]:
    """For sorting: cam2 before cam10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,15})", name)]


def put(texts: Mapping[Path, str]) -> None:
    """Write files, and make their folders; nothing is written where one of them is there already.

    Raises:
        UserError: one is there, or a folder cannot be made.
    """
    for path in texts:
        if path.exists():
            raise UserError(
                f"{path}: is there already, and is not overwritten; name another place with --out."
            )
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"{path.parent}: is no folder; name another place with --out.") from None
        path.write_text(text, encoding="utf-8")


def listed(names: Iterable[str], max_items: int = 8) -> str:
    """Names in a sentence; of many the first, and how many more."""
    names = list(names)
    more = f" and {len(names) - max_items} more" if len(names) > max_items else ""
    return ", ".join(names[:max_items]) + more
