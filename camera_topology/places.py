"""YAML that remembers where each value stands, so that an error can name line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline import yaml_text
from pipeline.errors import UserError

KeyPath = tuple[str | int, ...]


class PlacedYaml:
    """A YAML file's values, and the place of each of them.

    Raises:
        UserError: no such file, not valid YAML (`pipeline.yaml_text`), or one key twice in one mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        root = yaml_text.compose(path, "site file")
        self.places: dict[KeyPath, tuple[int, int]] = {(): (1, 1)}
        if root is not None:
            self._walk(root, ())
        self.values: Any = None if root is None else yaml_text.value(root, str(path))

    def error(self, keys: KeyPath, sentence: str) -> UserError:
        """A UserError ``file:line:column: key.path: sentence`` at the deepest part of ``keys`` that is in the file."""
        known = keys
        while known not in self.places:
            known = known[:-1]
        line, column = self.places[known]
        return UserError(f"{self.path}:{line}:{column}: {dotted(keys)}: {sentence}")

    def _walk(self, node: yaml.Node, keys: KeyPath) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = (*keys, str(key.value))
                place = (key.start_mark.line + 1, key.start_mark.column + 1)
                if below in self.places:
                    first = self.places[below][0]
                    raise UserError(
                        f"{self.path}:{place[0]}:{place[1]}: {dotted(below)}: stands here twice, first in line {first}; keep one."
                    )
                self.places[below] = place
                self._walk(value, below)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self.places[(*keys, i)] = (value.start_mark.line + 1, value.start_mark.column + 1)
                self._walk(value, (*keys, i))


def dotted(keys: KeyPath) -> str:
    """``cameras[0].clock.offset_s``, as people write it."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    return text or "the file"
