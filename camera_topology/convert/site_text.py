"""Values of a site file as text that people read: a camera after the other, matrices in rows, notes as comments."""

from __future__ import annotations

import re
import tempfile
import textwrap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml

from camera_topology import site
from camera_topology.convert.reading import Values
from camera_topology.site_schema import Camera, SiteFile
from pipeline.errors import UserError


def site_text(values: Values, notes: Iterable[str] = ()) -> str:
    """A site file as YAML.

    Args:
        values: plain values that `schema.SiteFile` takes.
        notes: sentences, for comments at its head.
    """
    lines = [line for note in notes for line in _comment(note)]
    lines.append("version: 1")
    for key, value in values.items():
        if key == "cameras":
            lines += ["cameras:", *(line for camera in value for line in _camera(camera))] if value else []
        elif isinstance(value, list):
            lines += [f"{key}:", *(f"  - {_flow(item)}" for item in value)] if value else []
        elif key != "version":
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def checked(values: Values, path: Path) -> Values:
    """The values themselves, once they are known to make a site file.

    Args:
        path: where they are from, for messages.

    Raises:
        UserError: they do not; names the key.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "site.yaml"
        made.write_text(site_text(values), encoding="utf-8", errors="surrogatepass")
        try:
            site.load(made)
        except UserError as error:
            why = re.sub(rf"^{re.escape(str(made))}(:\d+)*:? *", "", str(error))
            raise UserError(f"{path}: what it says makes no site file: {why}") from None
    return values


def not_held(facts: SiteFile, held: Collection[str]) -> list[str]:
    """What a site file says and a format does not hold, for a sentence.

    Args:
        held: keys of cameras, and of the whole file, that it holds.
    """
    keys = [
        key for key in Camera.model_fields if any(key in camera.model_fields_set for camera in facts.cameras)
    ]
    dropped = [key for key in keys if key not in {"id", *held}]
    whole = [key for key in SiteFile.model_fields if key in facts.model_fields_set]
    of_cameras = [f"{', '.join(dropped)} of cameras"] if dropped else []
    return of_cameras + [key for key in whole if key not in {"version", "cameras", *held}]


def _camera(camera: Values) -> list[str]:
    lines = []
    for key, value in camera.items():
        if isinstance(value, list) and value and isinstance(value[0], list | dict):
            comment = "    # image px → world m on the ground" if key == "homography" else ""
            lines += [f"    {key}:{comment}", *(f"      - {_flow(item)}" for item in value)]
        else:
            lines.append(f"    {key}: {_flow(value)}")
    return [f"  - {lines[0].strip()}", *lines[1:]]


def _flow(value: Any) -> str:
    """One line of YAML; floats with all their digits."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("...\n").strip()


def _comment(note: str) -> list[str]:
    # What YAML may not hold even in a comment, and what a terminal should not see, as escapes.
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in note)
    return textwrap.wrap(
        plain,
        110,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
