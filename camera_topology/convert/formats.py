"""The formats by name, which of them a file or folder is in, and the way from and to a site file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from camera_topology import site
from camera_topology.convert import aicity, nvidia, vehicle_mtmc, wildtrack
from camera_topology.convert.reading import Values
from camera_topology.convert.site_text import site_text
from camera_topology.feet import ground_matrix
from pipeline.errors import UserError, closest

_READ: Mapping[str, Callable[[Path], tuple[Values, list[str]]]] = {
    "vehicle_mtmc": vehicle_mtmc.read,
    "nvidia": nvidia.read,
    "aicity": aicity.read,
    "wildtrack": wildtrack.read,
}
_WRITE: Mapping[str, Callable[[Mapping[str, Any], Path], list[str]]] = {
    "vehicle_mtmc": vehicle_mtmc.write,
    "nvidia": nvidia.write,
    "aicity": aicity.write,
    "wildtrack": wildtrack.write,
}
FORMATS = tuple(_READ)
_HEAD_BYTES = 1 << 16


def as_site(path: Path, format_: str = "") -> str:
    """The text of a site file from what others publish.

    Args:
        format_: one of FORMATS; guessed where it is empty.

    Raises:
        UserError: no such file or format, or damaged; names the file.
    """
    values, notes = _READ[_known(format_, "--from") if format_ else guess(path)](path)
    return site_text(values, [f"Made by `trackweave topology convert` from {path}.", *notes])


def from_site(path: Path, format_: str, out: Path) -> list[str]:
    """Write a site file's cameras and links in another format; what that does not hold, as a list for a sentence.

    Raises:
        UserError: the site file is not valid, lacks what the format needs, or ``out`` is there already.
    """
    facts = site.load(path).facts
    write = _WRITE[_known(format_, "--to")]
    values = facts.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if format_ in ("wildtrack", "aicity"):  # which hold a homography, and no points
        for camera, told in zip(values.get("cameras", []), facts.cameras, strict=True):
            matrix = ground_matrix(told)
            if "homography" not in camera and matrix is not None:
                camera["homography"] = matrix.tolist()
    try:
        return write(values, out)
    except UserError as error:
        raise error if str(error).startswith(str(out)) else UserError(f"{path}: {error}") from None


def guess(path: Path) -> str:
    """The format of a file or a folder, by the names and first words of files.

    Raises:
        UserError: no such path, or none of the formats.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    if path.is_dir():
        if nvidia.file_in(path) != path:
            return "nvidia"
        if wildtrack.files(path):
            return "wildtrack"
        if aicity.files(path) or any(path.glob(f"*/*/{aicity.NAME}")):
            return "aicity"
        raise _unknown(path)
    if not path.is_file():
        raise _unknown(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if head.startswith("{"):
        return "nvidia"
    if head.startswith("<") and "opencv_storage" in head:
        return "wildtrack"
    if re.search(rf"(?mi)^\s*{aicity.HEAD}\s*:", head):
        return "aicity"
    if re.search(rf"(?m)^\s*({'|'.join((*vehicle_mtmc.VECTORS, *vehicle_mtmc.MATRICES))})\s*$", head):
        return "vehicle_mtmc"
    if re.search(r"(?m)^cameras\s*:", head):
        raise UserError(
            f"{path}: is a site file already; --to FORMAT --out PATH writes it as {', '.join(FORMATS)}."
        )
    raise _unknown(path)


def _unknown(path: Path) -> UserError:
    return UserError(
        f"{path}: is in none of the formats that can be told apart; name its own with --from: {', '.join(FORMATS)}."
    )


def _known(format_: str, word: str) -> str:
    if format_ not in FORMATS:
        raise UserError(f"{word} {format_}: no such format. {closest(format_, list(FORMATS))}")
    return format_
