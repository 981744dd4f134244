"""Names in CSV, where a spreadsheet would take some of them for a formula and run it."""

from __future__ import annotations

# OWASP's list (CSV injection), with the full-width signs that Excel takes for the same.
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def cell(name: str) -> str:
    """The name; one that begins like a formula has an apostrophe before it, as a person would type it.

    Parquet and MOT text hold names as they are; whoever joins tables does so there.
    """
    return f"'{name}" if name.startswith(_BEGINS_FORMULA) else name
