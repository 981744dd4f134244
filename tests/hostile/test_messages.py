"""Each case of the hostile set is one clear sentence and status 2, or a warning that names the file; never a traceback."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipeline.__main__ import main
from tests.hostile.cases import CASES, Case, RunsCode


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sentence(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = case.make(tmp_path)
    status = main(words)
    said = capsys.readouterr()
    assert status == (0 if case.goes_on else 2), said.err
    mark = "warning:" if case.goes_on else "error:"
    lines = [line.strip() for line in (said.err + said.out).splitlines() if line.strip().startswith(mark)]
    own = [line for line in lines if case.says[0] in line]
    assert len(own) == 1 and (case.goes_on or len(lines) == 1), said.err
    assert all(part in own[0] for part in case.says), own[0]
    assert len(own[0]) < 900 and own[0].isprintable() and "Traceback" not in said.err
    assert not (tmp_path / "executed").exists()


def test_names_tell_the_cases_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_trap_springs_where_pickles_are_trusted(tmp_path: Path) -> None:
    """Or that it did not spring above would say nothing."""
    pickle.loads(pickle.dumps(RunsCode(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()
