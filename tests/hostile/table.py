"""``python -m tests.hostile.table``: what was wrong and what the user reads, as Markdown, by running every case."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from pipeline.__main__ import main
from tests.hostile.cases import CASES, Case


def sentence(case: Case, folder: Path) -> str:
    """What the command prints of the case, without the folder it stands in."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        main(case.make(folder))
    lines = [line.strip() for line in said.getvalue().splitlines() if case.says[0] in line]
    mark = "warning:" if case.goes_on else "error:"
    found = next((line for line in lines if line.startswith(mark)), "nothing")
    return found.replace(f"{folder}/", "").replace(str(folder), ".")


def row(case: Case, text: str, longest: int = 260) -> str:
    """One row of the table; a pipe would end its cell."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} … {text[-longest // 2 :]}"
    return f"| {case.name} | {text.replace('|', chr(92) + '|')} |"


def main_table() -> None:
    print("| what was wrong | what the user reads |\n|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            print(row(case, sentence(case, Path(folder))), flush=True)


if __name__ == "__main__":
    main_table()
