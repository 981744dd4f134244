"""A run of an earlier version is refused with one sentence by whatever would read or empty it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import commands
from pipeline.errors import UserError
from pipeline.opening import open_run
from pipeline.purge import purge
from pipeline.run_folder import refuse_earlier_version

REFUSED = "made by an earlier version.*make clean RUN="


def with_pieces(run: Path) -> None:
    crops = run / "pieces" / "crop" / "camera"
    crops.mkdir(parents=True)
    (crops / "a.jpg").write_bytes(b"a person")


def with_notes(run: Path) -> None:
    (run / "ingest").mkdir()
    (run / "ingest" / "receipt.json").write_text(json.dumps({"node": "ingest", "notes": {}}))


@pytest.mark.parametrize("made_by_an_earlier_version", [with_pieces, with_notes])
@pytest.mark.parametrize(
    "command",
    [
        open_run,
        lambda run: purge(run, []),
        lambda run: commands.compare(run, run, as_json=False),
        commands.measures,
    ],
    ids=["open", "purge", "compare", "metrics"],
)
def test_it_is_refused_and_nothing_goes(
    tmp_path: Path, made_by_an_earlier_version: Callable[[Path], None], command: Callable[[Path], object]
) -> None:
    made_by_an_earlier_version(tmp_path)
    (tmp_path / "request.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=REFUSED) as refusal:
        command(tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ['{"metadata": {}}', '{"notes": {}, "metadata": {}}', "[]", "{", ""])
def test_a_receipt_of_this_version_or_a_damaged_one_is_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "ingest").mkdir()
    (tmp_path / "ingest" / "receipt.json").write_text(text)
    refuse_earlier_version(tmp_path)
