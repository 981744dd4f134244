"""What a run was asked for: the inputs given now, and those its folder remembers from earlier commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import config, graph
from pipeline.errors import UserError
from pipeline.inputs import FORGET, INPUTS, REMEMBERED

_FOOTAGE_OR_BENCHMARK = ("videos", "dataset", "source")


@dataclass(frozen=True)
class Asked:
    """The inputs of one command, before what the run remembers is added.

    values: input → text, those of `pipeline.inputs.INPUTS` that have one; empty or absent: as last time.
    sets: texts of section.key=value, each of one setting or of several.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    supervised: bool = False
    keep_going: bool = False

    def value(self, name: str) -> str:
        return self.values.get(name, "")


@dataclass
class Request:
    """The remembered inputs and settings, kept in ``request.json`` so that a later command needs only RUN."""

    values: dict[str, str] = field(default_factory=lambda: dict.fromkeys(REMEMBERED, ""))
    sets: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @property
    def published(self) -> bool:
        """Whether a benchmark stands for footage."""
        return bool(self["dataset"] or self["source"])

    @classmethod
    def load(cls, run_dir: Path) -> Request:
        path = run_dir / "request.json"
        if not path.is_file():
            return cls()
        try:
            return cls._parsed(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            raise UserError(
                f"{path}: damaged, or written by another version; delete it and name VIDEOS and the other options again."
            ) from None

    @classmethod
    def _parsed(cls, found: object) -> Request:
        if not isinstance(found, dict) or set(found) - {*REMEMBERED, "sets"}:
            raise TypeError("not the inputs of this version")
        request = cls(
            {name: found.get(name, "") for name in REMEMBERED},
            list(found.get("sets", [])),
        )
        if not all(isinstance(text, str) for text in [*request.values.values(), *request.sets]):
            raise TypeError("an input that is no text")
        return request

    def save(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        scratch = run_dir / "request.json.part"
        scratch.write_text(json.dumps({**self.values, "sets": self.sets}, indent=2), encoding="utf-8")
        scratch.rename(run_dir / "request.json")


def requested(run_dir: Path | None, asked: Asked) -> Request:
    """What is asked now; what that leaves out comes from the run's last request.

    Raises:
        UserError: inputs that exclude each other.
    """
    request = Request.load(run_dir) if run_dir else Request()
    if asked.value("model") not in ("", FORGET) and asked.value("weights"):
        raise UserError(
            "MODEL uses a finished network as it is and WEIGHTS starts from one: name one of the two."
        )
    given = [name for name in _FOOTAGE_OR_BENCHMARK if asked.value(name) not in ("", FORGET)]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(name.upper() for name in given)}: footage, a benchmark to learn from without labels, or one with: "
            "name one of them."
        )
    for name in _FOOTAGE_OR_BENCHMARK if given else ():
        request.values[name] = ""  # the one that is named takes the place of what was remembered
    for name in REMEMBERED:
        if value := asked.value(name):
            request.values[name] = "" if value == FORGET else value
    request.sets = _merged(request.sets, asked)
    return request


def _merged(remembered: list[str], asked: Asked) -> list[str]:
    """The settings: a later one of the same key wins; other keys stay, or a bare `make report` would undo them."""
    sets = {text.partition("=")[0]: text for text in remembered}
    method = asked.value("method")
    for key in _settings_of_another_method(method, list(sets)) if method else ():
        print(
            f"warning: METHOD={method} has no setting {key}; {sets.pop(key)} is dropped.",
            file=sys.stderr,
        )
    new = [one for text in asked.sets for one in config.split_sets(text)]
    new += [
        f"{found.setting}={_as_setting(found.name, asked.value(found.name))}"
        for found in INPUTS
        if found.setting and asked.value(found.name)
    ]
    sets.update({text.partition("=")[0]: text for text in new})
    return list(sets.values())


def _as_setting(name: str, value: str) -> str:
    """The value as text of its setting; names of cameras are quoted, since one may be a number."""
    if name == "camera":
        return json.dumps(value if value != "all" else "")
    return value


def _settings_of_another_method(method: str, keys: list[str]) -> list[str]:
    """Remembered settings of `associate` and `train` that belong to the method of an earlier run."""
    sections = graph.sections(method)
    parts = [(key, *key.split(".")[:2]) for key in keys if key.startswith(("associate.", "train."))]
    return [key for key, section, name in parts if name not in sections[section].model_fields]
