"""The one exception a user is meant to read."""

from __future__ import annotations

import re
import reprlib

# Control characters, those that turn the direction of writing, and what stands for bytes that are no UTF-8.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 800
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 80, 80, 40


class UserError(Exception):
    """Input the user can mend. The message is one clear sentence: the file, the setting, the next step.

    The command line prints it without a traceback and exits with status 2; nothing half-written stays behind. Names of
    files and values are other people's words: see `one_line`.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


def one_line(text: str) -> str:
    """The text as a terminal may show it: control characters as escapes, and the middle of a very long one left out."""
    text = _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text


def is_text(name: str) -> bool:
    """Whether tables, pages and terminals can hold a name: it has no control characters, and is UTF-8."""
    return _UNSEEN.search(name) is None


def shown(value: object) -> str:
    """A value in a message, as Python writes it; of a long or nested one the beginning."""
    return _SHORT.repr(value)


def closest(word: str, choices: list[str]) -> str:
    """A suggestion for a mistyped ``word``: `` Did you mean 'x'?`` or the list of what is allowed."""
    import difflib

    match = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"Did you mean '{match[0]}'?" if match else f"Known: {', '.join(sorted(choices))}."
