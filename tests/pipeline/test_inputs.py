"""Every input is declared once, and what is made of the declaration agrees with it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import graph
from pipeline.cli import options_of
from pipeline.errors import UserError
from pipeline.inputs import INPUTS, REMEMBERED, make_help
from pipeline.request import Asked, Request, requested
from pipeline.sources import Sources

ROOT = Path(__file__).resolve().parents[2]


def test_names_are_told_apart() -> None:
    assert len({found.name for found in INPUTS}) == len(INPUTS)


def test_every_input_is_an_option_of_a_run() -> None:
    options = vars(options_of(["run", "--run", "x"], {}))
    assert {found.name for found in INPUTS} <= set(options)


def test_the_sources_that_an_input_feeds_can_be_asked_for(tmp_path: Path) -> None:
    sources = Sources(Request(), tmp_path, seed=0, device="cpu", holdout_fraction=0.2, image_size=(32, 16))
    for name in {name for found in INPUTS for name in found.feeds}:
        with contextlib.suppress(UserError):  # it is known, and says what is missing
            sources.value(name)


def test_settings_that_inputs_stand_for_exist() -> None:
    from pipeline import config

    sections = {"run": config.RunSettings, **graph.sections("weave")}
    for section, key in (found.setting.split(".") for found in INPUTS if found.setting):
        assert key in sections[section].model_fields


def test_variables_of_the_environment_are_options_where_asked_for() -> None:
    environment = {
        "RUN": "runs/ä b", "VIDEOS": "-x", "SET": "a.b=1 c.d=2", "STRICT": "1", "UNTIL": "crop", "TRIAL": "",
    }  # fmt: skip
    options = options_of(["run", "--from-environment", "--until", "track"], environment)
    assert (options.run, options.videos, options.set) == (Path("runs/ä b"), "-x", ["a.b=1 c.d=2"])
    assert options.strict and options.until == "track" and options.trial == ""
    assert options_of(["run", "--run", "x"], environment).videos == ""


def test_names_takes_no_steps_from_the_environment() -> None:
    assert options_of(["names", "--from-environment"], {"UNTIL": "crop", "VIDEOS": "v"}).videos == "v"


def test_what_a_run_remembers_comes_back_and_none_forgets_it(tmp_path: Path) -> None:
    asked = Asked({"videos": "v", "ground_truth": "g", "privacy": "blur"}, sets=("track.max_gap_s=2",))
    requested(tmp_path, asked).save(tmp_path)
    assert set(json.loads((tmp_path / "request.json").read_text())) == {*REMEMBERED, "sets"}
    later = requested(tmp_path, Asked({"ground_truth": "none"}))
    assert (later["videos"], later["ground_truth"]) == ("v", "")
    assert later.sets == ["track.max_gap_s=2", "report.privacy=blur"]


@pytest.mark.parametrize("text", ['{"nobody": "x"}', "[]", '{"videos": 3}', '{"sets": [1]}', "{"])
def test_a_damaged_memory_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(UserError, match="damaged, or written by another version"):
        Request.load(tmp_path)


def test_make_help_needs_nothing_but_python() -> None:
    code = "import sys; sys.modules.update(pydantic=None, numpy=None, pandas=None); import pipeline.inputs as i; print(i.make_help())"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == make_help().strip() and "CAMERA_LABELS" in result.stdout


def test_the_makefile_names_no_input_it_does_not_set() -> None:
    assert "CAMERA_LABELS" not in (ROOT / "Makefile").read_text(encoding="utf-8")
