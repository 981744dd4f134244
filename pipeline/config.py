"""One settings tree: a section per stage, validated; an unknown key is an error with a suggestion.

Defaults live in the stages' Config classes and nowhere else. A config file and ``SET="train.epochs=3"`` name only
what differs: class defaults < config file < SET.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, Field, ValidationError

from pipeline import yaml_text
from pipeline.errors import UserError, closest, shown
from pipeline.stage import Settings, runtime_only

CONFIGS = Path(__file__).parent / "configs"


class RunSettings(Settings):
    """Settings of the whole run."""

    method: str = Field("weave", description="how tracklets are associated and the network trained")
    rounds: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="rounds of associate and train after round 0; null: as many as the method wants",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of every random choice")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'")
    workers: int | None = runtime_only(
        None, ge=1, description="processes that read and cut footage side by side; null: one per core"
    )
    keep_going: bool = runtime_only(
        False,
        description="when one video or camera fails, finish all others before the stage stops (KEEP_GOING=1)",
    )
    image_size: tuple[Annotated[int, Field(ge=16, le=2048)], Annotated[int, Field(ge=16, le=2048)]] = Field(
        (256, 128), description="height and width of the network's input, px"
    )
    holdout_fraction: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="last share of the recorded time kept from training where the site has no cut",
    )


# One SET word a setting; a space may stand around '=' and inside a value such as [32, 16].
_BETWEEN_SETS = re.compile(r"\s+(?=[\w.]+\s*=)")

Setting = tuple[tuple[str, ...], Any, str]  # key path, value, and where it was written


def load(
    sections: Mapping[str, type[Settings]], file: Path | None, overrides: Sequence[str]
) -> dict[str, Settings]:
    """Validated settings by section name.

    Args:
        sections: section name → Config class, for example ``{"track": TrackConfig}``.
        file: YAML file of differences, or None.
        overrides: ``["train.epochs=3", …]``; values are read as YAML.

    Raises:
        UserError: a section, key or value is wrong; names the file and line, or SET.
    """
    return _validated(sections, _given(file, overrides))


def split_sets(text: str) -> list[str]:
    """The settings of one SET: ``"a.b=1 c.d=[2, 3]"`` → ``["a.b=1", "c.d=[2, 3]"]``."""
    pairs = (word.partition("=") for word in _BETWEEN_SETS.split(text.strip()) if word)
    return [f"{key.strip()}{sign}{value.strip()}" for key, sign, value in pairs]


def load_run(file: Path | None, overrides: Sequence[str]) -> RunSettings:
    """The section `run` alone: it names the method, whose sections the rest is checked against."""
    given = [setting for setting in _given(file, overrides) if setting[0][0] == "run"]
    return cast(RunSettings, _validated({"run": RunSettings}, given)["run"])


def _given(file: Path | None, overrides: Sequence[str]) -> list[Setting]:
    """What file and SET say, in this order, not yet checked against any section."""
    given = _leaves(file) if file is not None else []
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or "." not in key:
            raise UserError(f'SET="{text}": write section.key=value, for example SET="train.epochs=3".')
        given.append((tuple(key.strip().split(".")), yaml_text.word(value), f'SET="{text}"'))
    return given


def _validated(sections: Mapping[str, type[Settings]], given: list[Setting]) -> dict[str, Settings]:
    tree: dict[str, dict[str, Any]] = {}
    origin: dict[tuple[str, ...], str] = {}
    for keys, value, where in given:
        _insert(sections, tree, origin, keys, value, where)
    settings = {}
    for name, config in sections.items():
        try:
            settings[name] = config(**tree.get(name, {}))
        except ValidationError as error:
            first = error.errors()[0]
            keys = (name, *(str(part) for part in first["loc"]))
            where = origin.get(keys[:2], "settings")
            raise UserError(
                f"{where}: {'.'.join(keys)} is {shown(first.get('input'))}: {first['msg']}."
            ) from None
    return settings


def named(name: str) -> Path:
    """The path of a config shipped with us ('demo') or of the user's own file."""
    own = CONFIGS / f"{name}.yaml"
    path = own if os.path.isfile(own) else Path(name)
    if not os.path.isfile(path):  # which is False, and not an error, for a name too long to be one
        known = sorted(p.stem for p in CONFIGS.glob("*.yaml"))
        raise UserError(
            f"CONFIG={name}: no such file, and none of ours is called that. {closest(name, known)}"
        )
    return path


def published(dataset: str, method: str) -> Path | None:
    """The settings of a published experiment, where its paper ran the method on this benchmark, noisy (``mars@1.7_1.2``) or not."""
    names = (dataset, dataset.partition("@")[0])
    paths = (CONFIGS / "published" / f"{name}-{method}.yaml" for name in names)
    return next((path for path in paths if path.is_file()), None)


def describe(sections: Mapping[str, type[Settings]]) -> str:
    """All settings with their defaults and meanings, as a Markdown table."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, config in sections.items():
        for key, info in config.model_fields.items():
            default = info.get_default(call_default_factory=True)
            shown = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
            rows.append(f"| `{name}.{key}` | `{shown}` | {info.description or ''} |")
    return "\n".join(rows)


def _insert(
    sections: Mapping[str, type[Settings]],
    tree: dict[str, dict[str, Any]],
    origin: dict[tuple[str, ...], str],
    keys: tuple[str, ...],
    value: Any,
    where: str,
) -> None:
    section = keys[0]
    if section not in sections:
        raise UserError(f"{where}: there is no section '{section}'. {closest(section, list(sections))}")
    if len(keys) == 1:
        if value is None:
            return
        raise UserError(f"{where}: section '{section}' wants keys below it, not {shown(value)}.")
    fields = list(sections[section].model_fields)
    if keys[1] not in fields:
        raise UserError(f"{where}: '{section}' has no setting '{keys[1]}'. {closest(keys[1], fields)}")
    node: Any = tree.setdefault(section, {})
    for key in keys[1:-1]:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise UserError(f"{where}: '{'.'.join(keys[:-1])}' has a value of its own and nothing below it.")
    node[keys[-1]] = value
    origin[keys[:2]] = where


def _leaves(file: Path) -> list[Setting]:
    """(key path, value, 'file:line') of every setting in a YAML file, two levels deep."""
    root = yaml_text.compose(file, "config file")
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{file}: wants sections such as 'track:', each with settings below it.")
    leaves: list[Setting] = []
    _once_each(root, file)
    for key, below in root.value:
        where = f"{file}:{key.start_mark.line + 1}"
        if not isinstance(below, yaml.MappingNode):
            leaves.append(((str(key.value),), yaml_text.value(below, str(file)), where))
            continue
        _once_each(below, file)
        for name, value in below.value:
            where = f"{file}:{name.start_mark.line + 1}"
            leaves.append(((str(key.value), str(name.value)), yaml_text.value(value, str(file)), where))
    return leaves


def _once_each(mapping: yaml.MappingNode, file: Path) -> None:
    """YAML lets the last of two equal keys win in silence."""
    seen: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if str(key.value) in seen:
            raise UserError(
                f"{file}:{line}: '{key.value}' stands there twice; line {seen[key.value]} has it."
            )
        seen[str(key.value)] = line
