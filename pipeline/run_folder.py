"""Whether a run's folder was made by this version, asked before anything in it is read, written or removed."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline import receipts
from pipeline.errors import UserError


def refuse_earlier_version(run: Path) -> None:
    """Raise UserError for a run of a version whose folders, tables and settings had other names."""
    if (run / "pieces").is_dir() or any(_has_notes(path) for path in receipts.paths(run)):
        raise UserError(
            f"{run}: made by an earlier version, whose tables had other names; name another RUN, or remove it "
            f"with `make clean RUN={run}`."
        )


def _has_notes(path: Path) -> bool:
    """Whether a receipt has ``notes``, which are ``metadata`` now; a damaged one tells nothing."""
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(receipt, dict) and "notes" in receipt and "metadata" not in receipt
