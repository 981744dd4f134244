"""YAML that anybody may have written: read within bounds, and what is wrong said in one sentence that names the place.

PyYAML ends in a RecursionError, a dozen other exceptions or not at all on a list that holds itself, on aliases that unfold
to billions of values and on numbers of a million digits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline import text_file
from pipeline.errors import UserError, shown

_MOST_BYTES = 8 << 20  # far beyond any file of settings; a video that is called .yaml is not read into memory
_MOST_VALUES = 200_000
_DEEPEST = 60
_LONGEST_NUMBER = 100


def compose(path: Path, what: str) -> yaml.Node | None:
    """The nodes of a file, which know where they stand; None for an empty one.

    Args:
        what: 'site file', for messages.

    Raises:
        UserError: no such file, not UTF-8, not YAML, or beyond the bounds of this module.
    """
    return compose_text(text_file.text_of(path, what, _MOST_BYTES), str(path))


def compose_text(text: str, where: str) -> yaml.Node | None:
    """The nodes of a text; ``where`` it stands is for messages.

    Raises:
        UserError: as `compose`.
    """
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_Words)
    except RecursionError:
        raise _too_deep(where) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"{where}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise UserError(
            f"{place}: not valid YAML: the character U+{ord(text[error.position]):04X} may not stand there; remove it."
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _not_valid(where, error) from None
    if root is not None:
        _check_bounds(root, where)
    return root


def value(node: yaml.Node, where: str) -> Any:
    """The value of a node of `compose`; ``where`` it stands is for messages.

    Raises:
        UserError: a tag that is not YAML's own, or a value that is none of its kind (``2026-13-45``).
    """
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _not_valid(where, error) from None
    finally:
        loader.dispose()


def word(text: str) -> Any:
    """The value of one word of the command line; where that is no YAML, the word itself."""
    try:
        node = compose_text(text, "")
        return None if node is None else value(node, "")
    except UserError:
        return text


class _Words(yaml.SafeLoader):
    """Only true and false are truth values, as in YAML 1.2: `off` is a word of settings, and NO a country."""


_Words.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Words.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and isinstance(node, yaml.ScalarNode) and len(node.value) > _LONGEST_NUMBER:
            raise self._wrong(f"a number of {len(node.value)} digits; write one that means something", node)
        try:
            return super().construct_object(node, deep)
        except (
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
        ):  # PyYAML's own, on 2026-13-45 or !!bool 7
            raise self._wrong(f"{shown(node.value)} is no {node.tag.rpartition(':')[2]}", node) from None

    def construct_undefined(self, node: yaml.Node) -> Any:
        raise self._wrong(f"the tag {shown(node.tag)} is none of YAML's own; write the plain value", node)

    @staticmethod
    def _wrong(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
        return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


_Loader.add_constructor(None, _Loader.construct_undefined)


def _check_bounds(root: yaml.Node, where: str) -> None:
    todo, values = [(root, 0)], 0
    while todo:
        node, depth = todo.pop()
        values += 1
        if depth > _DEEPEST:
            raise _too_deep(where)
        if values > _MOST_VALUES:
            raise UserError(
                f"{where}: holds, or its aliases (*name) unfold to, more than {_MOST_VALUES:,} values; write only what is needed."
            )
        if isinstance(node, yaml.MappingNode):
            for key, below in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    place = f"{where}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
                    raise UserError(f"{place}: not valid here: a key is a word, not a list or a mapping.")
                todo.append((below, depth + 1))
        elif isinstance(node, yaml.SequenceNode):
            todo += [(below, depth + 1) for below in node.value]


def _too_deep(where: str) -> UserError:
    return UserError(
        f"{where}: nested more than {_DEEPEST} levels deep, or holds itself by an alias (*name); write it flat."
    )


def _not_valid(where: str, error: yaml.MarkedYAMLError) -> UserError:
    mark = error.problem_mark
    place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
    problem = str(error.problem or error).rstrip(".")
    return UserError(f"{place}: not valid YAML: {problem}{'' if ';' in problem else '; mend it there'}.")
