"""The camera layout of vehicle_mtmc (github.com/regob/vehicle_mtmc, Szűcs et al. 2023): text of named vectors, matrices.

By its reader ``mtmc/cameras.py`` and its examples ``config/*/*_camera_layout.txt``: a line ``fps``, ``scales`` or
``offset``, then one line of N numbers; a line ``compatibility``, ``dtmin`` or ``dtmax``, then N lines of N. Cameras have
numbers from 0 and, in a comment such as ``# cam 0: c001``, names.

Signs, by ``mtmc/mtmc_clustering.py``. A frame's global time is ``frame / fps / scale + offset``: their offset is added,
as ours is (true = shown + offset_s), to a clock that shows 0 at each camera's first frame; their scale divides media
seconds, so ours (true seconds per second of media) is 1/scale. A track of camera i may go on in camera j where
``compatibility[i][j]`` is set and the latter is seen within [end + dtmin[i][j], end + dtmax[i][j]]; either direction is
enough for them. What is not set is forbidden; the diagonal is not looked at. A negative dtmin lets somebody be in j before
leaving i: overlap.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from camera_topology.convert.reading import Values, listed, number, put, text_of
from camera_topology.convert.site_text import checked, not_held
from camera_topology.site import Site
from camera_topology.site_schema import SiteFile
from camera_topology.transit import transit_model
from pipeline.errors import UserError

VECTORS, MATRICES = ("fps", "scales", "offset"), ("compatibility", "dtmin", "dtmax")
# How `associate` takes what a site file leaves open, by default.
_TAKEN = {"sigma_fraction": 0.7, "sigma_floor_s": 5.0, "overlap_tolerance_s": 5.0}

Table = list[list[float]]


def read(path: Path) -> tuple[Values, list[str]]:
    """Values of a site file, and what to know of them, from a camera layout.

    Raises:
        UserError: a section is missing, of another size, or holds no numbers; names the file and the section.
    """
    text = text_of(path, "camera layout")
    found = _sections(text, path)
    n = len(found["fps"][0])
    for name, rows in found.items():
        wanted = n if name in MATRICES else 1
        if len(rows) != wanted or any(len(row) != n for row in rows):
            size = f"{n} rows of {n}" if name in MATRICES else f"{n}"
            raise UserError(f"{path}: {name}: wants {size} numbers, one a camera, as fps has.")
    names = _names(text, n)
    notes = [
        "From vehicle_mtmc's camera layout. It has no dates: each camera's time begins at 0 with its first frame, and "
        "offset_s counts from one instant that all share; give every camera that instant as its start_time.",
        "It tells no places, distances or homographies.",
    ]
    cameras = []
    scales = found.get("scales", [[1.0] * n])[0]
    if "scales" not in found:
        notes.append("The file has no scales (an older form), so every clock is taken to run right.")
    for i, name in enumerate(names):
        if scales[i] <= 0:
            raise UserError(f"{path}: scales: wants numbers above 0 (found {scales[i]:g}).")
        clock = {"offset_s": found["offset"][0][i], "scale": 1 / scales[i]}
        cameras.append({"id": name, "fps": found["fps"][0][i], "clock": clock})
    links = _links(names, found, notes, path)
    return checked({"cameras": cameras, "links": links}, path), notes


def write(values: Mapping[str, Any], path: Path) -> list[str]:
    """Write a camera layout, and say what of the site file it does not hold.

    Ways told by a distance, a mean or a histogram become the interval of two standard deviations around the mean that
    `transit_model` takes.

    Raises:
        UserError: a camera has no fps, which the layout cannot do without.
    """
    site = Site(SiteFile.model_validate(values))
    names = list(site.cameras)
    if not names:
        raise UserError("there is no camera in it, and vehicle_mtmc's layout is a list of cameras; add them.")
    for camera in site.facts.cameras:
        if camera.fps is None:
            raise UserError(
                f"camera '{camera.id}' has no fps, and vehicle_mtmc makes its times from frame numbers by it; add it."
            )
    left: list[str] = []
    begin_s = _begins_s(site, left)
    ways = [[_way(site, a, b, left) if a != b else (0.0, 0.0, 0.0) for b in names] for a in names]
    blocks = {
        "fps": [[camera.fps or 0.0 for camera in site.facts.cameras]],
        "scales": [[1 / camera.clock.scale for camera in site.facts.cameras]],
        "offset": [[camera.clock.offset_s + begin_s[camera.id] for camera in site.facts.cameras]],
        **{key: [[way[k] for way in row] for row in ways] for k, key in enumerate(MATRICES)},
    }
    lines = ["# camera layout of vehicle_mtmc, made by trackweave topology convert", "### camera mapping"]
    lines += [f"# cam {i}: {name}" for i, name in enumerate(names)]
    for key, rows in blocks.items():
        lines += ["", key, *(" ".join(_digits(x) for x in row) for row in rows)]
    put({path: "\n".join(lines) + "\n"})
    held = {"fps", "clock", "start_time", "links", "defaults"}
    return [*left, *not_held(site.facts, held)]


def _sections(text: str, path: Path) -> dict[str, Table]:
    found: dict[str, Table] = {}
    name = ""
    for i, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words == [words[0]] and words[0] in (*VECTORS, *MATRICES):
            name = words[0]
            if name in found:
                raise UserError(f"{path}:{i}: {name}: stands here twice; keep one.")
            found[name] = []
        elif not name:
            known = ", ".join((*VECTORS, *MATRICES))
            raise UserError(f"{path}:{i}: wants the name of a section ({known}) before any numbers.")
        else:
            found[name].append([_number(word, f"{path}:{i}: {name}", name) for word in words])
    missing = [key for key in (*VECTORS, *MATRICES) if key != "scales" and not found.get(key)]
    if missing:
        raise UserError(f"{path}: has no {listed(missing)}, so it is no whole camera layout of vehicle_mtmc.")
    return found


def _number(word: str, where: str, name: str) -> float:
    if name in ("dtmin", "dtmax") and word.lower().lstrip("+-") in ("inf", "infinity"):
        return float(word)
    return number(word, where)


def _names(text: str, n: int) -> list[str]:
    told = {
        int(i): name for i, name in re.findall(r"(?m)^[ \t]*#+[ \t]*cam[ \t]+(\d{1,6}):[ \t]*(\S+)", text)
    }
    return [told.get(i, f"cam{i}") for i in range(n)]


def _links(names: list[str], found: dict[str, Table], notes: list[str], path: Path) -> list[Values]:
    links: list[Values] = []
    odd: list[str] = []
    for i, j in combinations(range(len(names)), 2):
        forth, back = (_facts(found, a, b, names, odd, path) for a, b in ((i, j), (j, i)))
        if forth == back:
            links.append({"from": names[i], "to": names[j], **forth})
        else:
            links.append({"from": names[i], "to": names[j], "bidirectional": False, **forth})
            links.append({"from": names[j], "to": names[i], "bidirectional": False, **back})
    if any(link["relation"] == "overlap" for link in links):
        notes.append(
            "A dtmin below 0 lets people be in both views at once: relation overlap, for which transit_s only keeps their interval."
        )
    if odd:
        notes.append(
            f"An interval that transit_s cannot hold (endless, or of no width) is left out: {listed(odd)}."
        )
    if any(found["compatibility"][i][i] for i in range(len(names))):
        notes.append("Its compatibility of a camera with itself is left out, as vehicle_mtmc does.")
    return links


def _facts(found: dict[str, Table], i: int, j: int, names: list[str], odd: list[str], path: Path) -> Values:
    """A link's relation and time from camera i to camera j."""
    if not found["compatibility"][i][j]:
        return {"relation": "forbidden"}
    low, high = found["dtmin"][i][j], found["dtmax"][i][j]
    if low > high:
        raise UserError(f"{path}: dtmin from {names[i]} to {names[j]} ({low:g}) is above dtmax ({high:g}).")
    if low == -math.inf and high == math.inf:
        return {"relation": "reachable"}
    relation = "overlap" if low < 0 else "adjacent"
    if math.isinf(high) or high <= max(low, 0.0):
        odd.append(f"{names[i]} → {names[j]} {low:g} to {high:g}")
        return {"relation": "reachable" if relation == "adjacent" else relation}
    middle = (low + high) / 2
    return {
        "relation": relation,
        "transit_s": {"min": max(low, 0.0), "typical": max(middle, 0.0), "max": high},
    }


def _way(site: Site, a: str, b: str, left: list[str]) -> tuple[float, float, float]:
    """compatibility, dtmin and dtmax (s) from one camera to another."""
    relation, transit = site.relation(a, b), site.transit_s(a, b)
    model = transit_model(site, a, b, **_TAKEN)
    if not model.possible:
        return 0.0, 0.0, 0.0
    if transit and transit.min is not None and transit.typical is not None and transit.max is not None:
        middle = transit.typical
        if relation == "overlap":  # as `_facts` reads it: twice the middle less the end is the beginning
            begin = 2 * middle - transit.max
            return 1.0, begin if middle and begin < 0 else -transit.max, transit.max
        if not math.isclose(middle, (transit.min + transit.max) / 2):
            left.append(f"the typical time from {a} to {b}, which is not the middle of its interval")
        return 1.0, transit.min, transit.max
    if relation == "overlap":
        left.append(
            f"that the overlap of {a} and {b} has no interval; {_TAKEN['overlap_tolerance_s']:g} s taken"
        )
        return 1.0, -_TAKEN["overlap_tolerance_s"], _TAKEN["overlap_tolerance_s"]
    if relation == "unlisted" or math.isinf(model.std_s):
        if relation == "adjacent":
            left.append(f"that {a} and {b} are adjacent, for no time or distance is told")
        return 1.0, -math.inf, math.inf
    if model.histogram:
        return 1.0, model.histogram[0][0], model.histogram[0][-1]
    return 1.0, max(0.0, model.min_s, model.mean_s - 2 * model.std_s), model.mean_s + 2 * model.std_s


def _begins_s(site: Site, left: list[str]) -> dict[str, float]:
    """When each camera's first file begins, s after the first of all; 0 where start times are not told."""
    starts = {c.id: site.to_us(c.start_time) for c in site.facts.cameras if c.start_time is not None}
    if len(starts) < len(site.cameras):
        if starts:
            left.append("start_time, for not every camera has one")
        return dict.fromkeys(site.cameras, 0.0)
    return {camera: (start - min(starts.values())) / 1e6 for camera, start in starts.items()}


def _digits(x: float) -> str:
    return f"{x:.15g}"
