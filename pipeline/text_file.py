"""The text of a file that anybody may have written, and what is wrong with it said in one sentence."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError


def text_of(path: Path, what: str, max_bytes: int) -> str:
    """The text of a file, without its byte-order mark.

    Args:
        what: 'camera layout', for messages.
        max_bytes: of a larger one no more is read into memory; a video may be called .yaml.

    Raises:
        UserError: no such file, a folder or another thing that holds no text, too large or not UTF-8.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder, and no {what}; name the file.")
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise UserError(f"{path}: is no file, so no {what} can be read from it.")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a {what}: {reason}.") from None
    if len(data) > max_bytes:
        raise UserError(
            f"{path}: larger than {max_bytes >> 20} MB, so it is no {what}; look whether it is the right file."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: cannot be read as a {what}: byte {error.start} is no UTF-8; save it as UTF-8 text."
        ) from None
