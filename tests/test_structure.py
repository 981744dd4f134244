"""What a stranger may rely on when looking for a module or asking what a library is for."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "stages", "camera_topology", "data")


def test_a_module_name_stands_once() -> None:
    places = defaultdict(list)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.stem not in ("__init__", "__main__"):
                places[path.stem].append(str(path.relative_to(ROOT)))
    assert len(places) > 100  # they were found at all
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def requirement_lines() -> list[str]:
    """The lines of pyproject.toml that name what is installed with or for this project."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    optional = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[", text, re.M | re.S)
    assert dependencies and optional
    return [line for part in (dependencies[1], optional[1]) for line in part.splitlines() if '"' in line]


def test_every_library_has_its_reason_beside_it() -> None:
    lines = requirement_lines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        *project["dependencies"],
        *(n for extra in project["optional-dependencies"].values() for n in extra),
    }
    named = {name for line in lines for name in re.findall(r'"([^"]+)"', line.partition("#")[0])}
    assert named == wanted  # no requirement escapes the lines that are looked at
    assert [line for line in lines if not re.search(r"#\s*\w+", line)] == []
