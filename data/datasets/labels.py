"""Which labels mean a person, and the names of numbered classes: what truth, camera labels and detections have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from pipeline.errors import UserError

PERSON_CLASSES = ("person", "pedestrian", "people")
LABELS = "labels.txt"  # as CVAT and Datumaro write it beside MOT text: the name of class k in line k


def by_commas(value: Any) -> Any:
    """'person, rider' as ['person', 'rider']; a list as it is."""
    words = value.split(",") if isinstance(value, str) else value
    return [str(word).strip() for word in words] if isinstance(words, list | tuple) else value


# The type of the setting `person_classes`.
PersonClasses = Annotated[tuple[str, ...], BeforeValidator(by_commas)]


def is_person(label: str, person_classes: Collection[str]) -> bool:
    """Whether a label is one of them, whatever its case; no label at all says nothing against it."""
    label = label.strip().casefold()
    return not label or label in {name.strip().casefold() for name in person_classes}


def labels_of(file: Path, root: Path) -> tuple[Path, list[str]] | None:
    """The nearest ``labels.txt`` beside a file or above it, up to ``root``, and its names in order; None without one.

    Raises:
        UserError: it cannot be read, or names nothing.
    """
    for folder in (file.parent, *file.parent.parents):
        path = folder / LABELS
        if path.is_file() and path != file:
            try:
                names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(
                    f"{path}: cannot be read ({error}); save it as UTF-8 text, the name of class k in line k."
                ) from None
            while names and not names[-1]:
                names.pop()
            if not names:
                raise UserError(
                    f"{path}: names no class; write the name of class k into line k, or delete the file."
                )
            return path, names
        if folder == root or root not in folder.parents:
            return None
    return None


def counted(left_out: Iterable[tuple[str, int]], max_items: int = 5) -> str:
    """``100 boxes of 'car', 3 of 'dog'``: what was left out, the most frequent first."""
    ranked = sorted(left_out, key=lambda item: (-item[1], item[0]))
    parts = [
        f"{n} {'of' if k else 'box of' if n == 1 else 'boxes of'} '{label}'"
        for k, (label, n) in enumerate(ranked[:max_items])
    ]
    rest = sum(n for _, n in ranked[max_items:])
    return ", ".join(parts) + (f" and {rest} of {len(ranked) - max_items} other labels" if rest else "")
