"""What a person said of pairs of tracklets: one JSON object per line, only ever appended to, so nothing answered is lost.

A line is an answer, ``{"at": …, "kind": "probe" | "link", "a": …, "b": …, "answer": "same" | "different" | "unsure"}``, or
``{"at": …, "undo": true}``, which takes back the last answer that still stands. Answers of the kind *probe* measure and are read by
nothing that learns; those of the kind *link* are must-links and cannot-links of the next round.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import UserError, is_text, shown

PLACE = Path("annotations") / "answers.jsonl"  # in a run's folder
KINDS = ("probe", "link")
ANSWERS = ("same", "different", "unsure")


class PairAnnotation(NamedTuple):
    """a < b are tracklet ids."""

    kind: str
    a: str
    b: str
    answer: str


def answer(path: Path, judgement: PairAnnotation) -> None:
    """Append an answer; it is on the disk when this returns.

    Raises:
        ValueError: an unknown kind or answer, or a pair out of order.
    """
    if judgement.kind not in KINDS or judgement.answer not in ANSWERS or not judgement.a < judgement.b:
        raise ValueError(f"no judgement: {judgement}")
    _append(path, judgement._asdict())


def undo(path: Path) -> bool:
    """Take back the last answer that still stands; whether there was one."""
    if not read(path):
        return False
    _append(path, {"undo": True})
    return True


def read(path: Path) -> list[PairAnnotation]:
    """The answers that stand, in order; of several about one pair and kind the last.

    A last line that a power cut tore is passed over: its answer was never confirmed.

    Raises:
        UserError: any other line is damaged; names it.
    """
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); it holds the answers given so far."
        ) from None
    stack: list[PairAnnotation] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            if said.get("undo"):
                stack = stack[:-1]
                continue
            found = PairAnnotation(*(str(said[name]) for name in PairAnnotation._fields))
            if found.kind not in KINDS or found.answer not in ANSWERS or not found.a < found.b:
                raise ValueError
            if not is_text(found.a + found.b):
                raise ValueError
        except (ValueError, KeyError, AttributeError, RecursionError):
            if number == len(lines):
                continue
            raise UserError(
                f"{path}: line {number} is no answer: {shown(line)}; mend or delete that line, the others are kept."
            ) from None
        stack.append(found)
    return list({(j.kind, j.a, j.b): j for j in stack}.values())


def links(path: Path) -> list[tuple[str, str, bool]]:
    """(a, b, whether they are one person) of the answers that learning may use, sorted."""
    return sorted(
        (j.a, j.b, j.answer == "same") for j in read(path) if j.kind == "link" and j.answer != "unsure"
    )


def _append(path: Path, said: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **said}) + "\n"
    with path.open("ab+") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a torn line stays a line of its own
                line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
