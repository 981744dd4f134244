"""The one exception a user is meant to read."""


class UserError(Exception):
    """Input the user can mend. The message is one clear sentence: the file, the setting, the next step.

    The command line prints it without a traceback and exits with status 2; nothing half-written stays behind.
    """


def closest(word: str, choices: list[str]) -> str:
    """A suggestion for a mistyped ``word``: `` Did you mean 'x'?`` or the list of what is allowed."""
    import difflib

    match = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"Did you mean '{match[0]}'?" if match else f"Known: {', '.join(sorted(choices))}."
