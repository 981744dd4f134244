"""The site file (camera topology): loaded, checked, and asked.

`load` reads a file and `without_file` stands in where there is none; both give a :class:`Site`, the only object
other packages hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from camera_topology import file_times, site_schema
from camera_topology.places import KeyPath, PlacedYaml, dotted
from camera_topology.view import View
from pipeline.errors import UserError, closest, is_text, shown

# The fewest people are under way then.
_DAY_BEGINS_H = 4

_LONGEST_ID = 100  # bytes; names of files have 255, and hold a start or the name of a recording, too

Relation = Literal["adjacent", "overlap", "reachable", "forbidden", "unlisted"]


@dataclass(frozen=True)
class Site:
    """A camera network.

    path: the site file, None where there is none.
    unused: sentences about keys that are valid and decide nothing yet.
    """

    facts: site_schema.SiteFile
    path: Path | None = None
    unused: list[str] = field(default_factory=list)

    @cached_property
    def cameras(self) -> dict[str, site_schema.Camera]:
        """Declared cameras by id, in the order of the file."""
        return {camera.id: camera for camera in self.facts.cameras}

    @cached_property
    def links(self) -> Mapping[tuple[str, str], site_schema.Link]:
        """Directed links by (from, to); a bidirectional one stands both ways unless the other way has its own."""
        links = {(link.to, link.from_): link for link in self.facts.links if link.bidirectional}
        links.update({(link.from_, link.to): link for link in self.facts.links})
        return links

    @property
    def timezone(self) -> str:
        return self.facts.site.timezone

    @property
    def walking_speed(self) -> site_schema.WalkingSpeed:
        return self.facts.site.walking_speed_m_per_s

    def camera(self, camera_id: str) -> site_schema.Camera:
        """The declared camera, or one with nothing but its id."""
        return self.cameras.get(camera_id) or site_schema.Camera(id=camera_id)

    def relation(self, from_: str, to: str) -> Relation:
        link = self.links.get((from_, to))
        return link.relation if link else "unlisted"

    def distance_m(self, from_: str, to: str) -> float | None:
        """Length of the declared way, None where it is not known."""
        link = self.links.get((from_, to))
        return link.distance_m if link else None

    def transit_s(self, from_: str, to: str) -> site_schema.Transit | None:
        """The declared transit time, None where only a distance or nothing is known."""
        link = self.links.get((from_, to))
        return link.transit_s if link else None

    def link_weight(self, from_: str, to: str) -> float:
        """How many people take a listed link, as a share of the most taken; one without a weight counts 1, as an unlisted pair."""
        link = self.links.get((from_, to))
        if link is None or link.weight is None or link.relation == "forbidden":
            return 1.0
        return link.weight / self._largest_weight

    @cached_property
    def _largest_weight(self) -> float:
        used = (link.weight for link in self.facts.links if link.relation != "forbidden")
        return max([1.0, *(weight for weight in used if weight is not None)])

    @property
    def needs_feet(self) -> bool:
        """Whether the prior asks where people stood: links between zones, or views that overlap on a known ground."""
        placed = {c.id for c in self.facts.cameras if c.has_ground}
        return any(
            link.from_zone or link.to_zone or (link.relation == "overlap" and {link.from_, link.to} <= placed)
            for link in self.facts.links
        )

    def cut(self) -> tuple[int, int] | None:
        """(train_until, test_from) in µs UTC; one that is missing equals the other; None where both are."""
        until, from_ = self.facts.evaluation.train_until, self.facts.evaluation.test_from
        if until is None and from_ is None:
            return None
        times = [self.to_us(t) for t in (until or from_, from_ or until) if t is not None]
        return times[0], times[1]

    @property
    def reentry_s(self) -> float | None:
        """Usual gap between two tracklets of one person in one camera, s, where the file says it."""
        defaults = self.facts.defaults
        return (
            defaults.same_camera_reentry_s if "same_camera_reentry_s" in defaults.model_fields_set else None
        )

    @property
    def across_days(self) -> bool:
        """Whether one person may be found on several days; by default not, since clothes change over night."""
        return self.facts.defaults.across_days

    def day(self, t_utc_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the site's day that each instant (µs UTC) lies in; a day begins at four in the morning."""
        import pandas as pd

        local = pd.DatetimeIndex(pd.to_datetime(t_utc_us, unit="us", utc=True)).tz_convert(self.timezone)
        begun = (local.tz_localize(None) - pd.Timedelta(hours=_DAY_BEGINS_H)).floor("D")
        return np.asarray((begun - pd.Timestamp(0)).days, np.int64)

    def rate_is_declared(self, camera_id: str) -> bool:
        """Whether the file says how fast the camera's clock runs, if only that it runs right."""
        camera = self.camera(camera_id)
        return camera.fps is not None or "scale" in camera.clock.model_fields_set

    def to_us(self, time: datetime) -> int:
        """UTC µs of a time of the site file; without a zone it is local to the site."""
        return file_times.to_us(time if time.tzinfo else time.replace(tzinfo=ZoneInfo(self.timezone)))

    def named_start(self, path: Path, camera_id: str) -> file_times.NamedStart | None:
        """When a file started by its name: the camera's own pattern, else the first built-in that fits."""
        own = self.camera(camera_id).filename
        if own is not None:
            return file_times.read_start(path, own.pattern(), self.timezone)
        return file_times.guess_start(path, self.timezone)

    def match_camera(self, path: Path, root: Path | None = None) -> str:
        """The camera a recording belongs to; the first rule that fits decides:

        1. a camera's ``videos`` globs, relative to the site file; files that lie elsewhere match by the end of
           their path;
        2. a folder on the way that is called like a declared camera, the nearest first;
        3. a file name that is a declared camera's id or starts with it and a separator, the longest id first;
        4. a recorder's layout with the camera among its folders (Frigate, Dahua);
        5. the first folder below ``root`` that is not a date or a number;
        6. the file name before its time stamp, else the parent folder if the name is only a time stamp, else the
           whole file name without its suffix.

        Args:
            root: the folder common to all recordings; the file's own folder by default.

        Raises:
            UserError: the globs of two cameras match the file.
        """
        if matching := self._cameras_by_glob(path):
            if len(matching) > 1:
                raise UserError(
                    f"{path}: matches the videos of two cameras, {matching[0]} and {matching[1]}, in {self.path}; "
                    f"make the globs exclusive."
                )
            return matching[0]
        for folder in reversed(path.parent.parts):
            if folder in self.cameras:
                return folder
        for camera_id in sorted(self.cameras, key=len, reverse=True):
            if path.stem == camera_id or re.match(re.escape(camera_id) + r"[^0-9A-Za-z]", path.stem):
                return camera_id
        return _camera_by_layout(path, root or path.parent, self.timezone)

    def _cameras_by_glob(self, path: Path) -> list[str]:
        found = self._globbed.get(path.resolve(), [])
        if found:
            return found
        return [
            camera.id
            for camera in self.facts.cameras
            if any(_ends_like(path, glob) for glob in camera.videos)
        ]

    @cached_property
    def _globbed(self) -> dict[Path, list[str]]:
        """Resolved path → the cameras whose globs find it."""
        found: dict[Path, list[str]] = {}
        if self.path is None:
            return found
        for camera in self.facts.cameras:
            for path in {p.resolve() for glob in camera.videos for p in expand(self.path.parent, glob)}:
                found.setdefault(path, []).append(camera.id)
        return found

    def clock_view(self) -> dict[str, Any]:
        """What `ingest` depends on, as plain JSON values."""
        keys = {"id", "videos", "filename", "start_time", "clock", "fps"}
        return {
            "timezone": self.timezone,
            "folder": str(self.path.parent.resolve()) if self.path else "",
            "cameras": [camera.model_dump(mode="json", include=keys) for camera in self.facts.cameras],
        }

    def prior_view(self) -> dict[str, Any]:
        """What association depends on, as plain JSON values."""
        speed = self.walking_speed.model_dump(mode="json", include={"mean", "std", "max"})
        keys = {"from_", "to", "relation", "bidirectional", "distance_m", "transit_s",
                "from_zone", "to_zone", "weight"}  # fmt: skip
        places = {"id", "homography", "points", "zones"}
        return {
            "walking_speed_m_per_s": speed,
            "links": [link.model_dump(mode="json", include=keys) for link in self.facts.links],
            "unlisted_pairs": self.facts.defaults.unlisted_pairs,
            "offset_std_s": {camera.id: camera.clock.offset_std_s for camera in self.facts.cameras},
            "same_camera_reentry_s": self.reentry_s,
            "places": [c.model_dump(mode="json", include=places) for c in self.facts.cameras]
            if self.needs_feet
            else [],
            "days_apart": None if self.across_days else self.timezone,
        }

    def view(self, camera_id: str) -> View:
        """Which part of the camera's picture counts."""
        camera = self.camera(camera_id)
        mask = None if camera.mask is None else (self.path.parent if self.path else Path()) / camera.mask
        return View(camera.roi, camera.ignore, mask, camera.min_person_height_px or 0.0)

    def map_view(self) -> dict[str, Any]:
        """What the report of the network depends on beyond clock and prior, as plain JSON values."""
        keys = {"id", "position"}
        cameras = [camera.model_dump(mode="json", include=keys) for camera in self.facts.cameras]
        return {"name": self.facts.site.name, "cameras": cameras}


def without_file(camera_ids: Iterable[str]) -> Site:
    """A site of which only the cameras' names are known; every pair of them is weakly reachable."""
    return Site(site_schema.SiteFile(cameras=tuple(site_schema.Camera(id=i) for i in camera_ids)))


def load(path: Path) -> Site:
    """Read and check a site file.

    Raises:
        UserError: not valid YAML, an unknown key (with a suggestion), a wrong value, or an unknown camera in a
            link; names file, line, column and key path.
    """
    placed = PlacedYaml(path)
    try:
        facts = site_schema.SiteFile.model_validate({} if placed.values is None else placed.values)
    except ValidationError as error:
        raise _first_error(placed, error) from None
    _check(placed, facts)
    return Site(facts, path, _unused(placed, facts))


def expand(folder: Path, glob: str) -> list[Path]:
    """Files below ``folder`` (or anywhere, for an absolute glob) that match, sorted."""
    absolute = PurePath(glob).is_absolute()
    anchor = Path(PurePath(glob).anchor) if absolute else folder
    pattern = str(PurePath(glob).relative_to(anchor)) if absolute else glob
    try:
        return sorted(p for p in anchor.glob(pattern) if p.is_file())
    except (NotImplementedError, ValueError, IndexError, OSError):
        return []  # no glob: '**x', '.', or a name longer than any there is


def _ends_like(path: Path, glob: str) -> bool:
    try:
        return path.match(glob.removeprefix("./").replace("**/", ""))
    except ValueError:
        return False


def _camera_by_layout(path: Path, root: Path, timezone: str) -> str:
    named = file_times.guess_start(path, timezone)
    if named and named.pattern in file_times.IN_FOLDERS and named.camera:
        return named.camera
    below = path.parent.relative_to(root).parts if path.is_relative_to(root) else ()
    for folder in below:
        if re.search(r"[^\W\d_]", folder):
            return folder
    if named and named.camera:
        return named.camera
    return (path.parent.name or path.stem) if named else path.stem


def _first_error(placed: PlacedYaml, error: ValidationError) -> UserError:
    # Unknown keys first: a mistyped key often makes another one missing.
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    # Names of validators inside loc are no keys of the file.
    keys: KeyPath = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(keys[:-1])
        return placed.error(keys, f"unknown key '{str(keys[-1])[:80]}'. {closest(str(keys[-1])[:80], known)}")
    return placed.error(keys, _sentence(first))


def _sentence(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return "is missing."
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "wants keys and values"
    elif error["type"] in ("tuple_type", "list_type"):
        message = "wants a list"
    elif error["type"] == "string_pattern_mismatch":  # the one pattern is that of a camera's id
        message = "wants a name without / \\ and |"
    found = error["input"]
    but = f" (found {shown(found)})" if isinstance(found, str | int | float | bool) else ""
    return f"{message[:1].lower() + message[1:]}{but}{'' if message.endswith(('.', '?')) else '.'}"


def _known_keys(keys: KeyPath) -> list[str]:
    """The keys the schema allows below a key path."""
    model: Any = site_schema.SiteFile
    for key in keys:
        if isinstance(key, int):
            continue
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        model = _model_in(fields[key].annotation) if key in fields else None
        if model is None:
            return []
    return [info.alias or name for name, info in model.model_fields.items() if name != "built_in"]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model), None)


def _check(placed: PlacedYaml, facts: site_schema.SiteFile) -> None:
    """What the schema alone cannot see: references between parts."""
    ids = [camera.id for camera in facts.cameras]
    for i, camera_id in enumerate(ids):
        if why := _not_nameable(camera_id):
            raise placed.error(("cameras", i, "id"), f"{shown(camera_id)} {why}.")
        if camera_id in ids[:i]:
            raise placed.error(("cameras", i, "id"), f"camera '{camera_id}' is declared twice.")
    seen: set[tuple[str, str]] = set()
    for i, link in enumerate(facts.links):
        for key, camera_id in (("from", link.from_), ("to", link.to)):
            if camera_id not in ids:
                raise placed.error(
                    ("links", i, key), f"there is no camera '{camera_id}'. {closest(camera_id, ids)}"
                )
        if link.from_ == link.to:
            raise placed.error(("links", i), f"links camera '{link.to}' with itself.")
        for key, camera_id, kind in (("from_zone", link.from_, "exit"), ("to_zone", link.to, "entry")):
            if (zone := getattr(link, key)) is not None:
                zones = {z.id: z.kind for c in facts.cameras if c.id == camera_id for z in c.zones}
                if zone not in zones:
                    known = closest(zone, list(zones)) if zones else "It has none."
                    raise placed.error(
                        ("links", i, key), f"camera '{camera_id}' has no zone '{zone}'. {known}"
                    )
                if zones[zone] not in (kind, "both"):
                    raise placed.error(
                        ("links", i, key),
                        f"zone '{zone}' of camera '{camera_id}' is an {zones[zone]}; {key} wants an {kind} or both.",
                    )
        if (link.from_, link.to) in seen:
            raise placed.error(("links", i), f"the link {link.from_} → {link.to} is declared twice.")
        seen.add((link.from_, link.to))
    cut = Site(facts).cut()
    if cut and cut[1] < cut[0]:
        raise placed.error(
            ("evaluation", "test_from"), "lies before train_until; the test must not see training time."
        )


def _not_nameable(camera_id: str) -> str:
    """Why files and people cannot be told of a camera by this id; empty where they can."""
    if not is_text(camera_id) or camera_id != camera_id.strip():
        return "holds characters nobody sees, or blanks around it; write it without"
    if not camera_id.strip("."):
        return "means a folder; call the camera otherwise"
    if len(camera_id.encode()) > _LONGEST_ID:
        return f"is longer than the {_LONGEST_ID} bytes that fit into names of files; shorten it"
    return ""


def _unused(placed: PlacedYaml, facts: site_schema.SiteFile) -> list[str]:
    sentences = []
    for pattern in site_schema.UNUSED:
        places = [keys for keys in placed.places if _fits(keys, pattern)]
        if places:
            times = f" ({len(places)} times)" if len(places) > 1 else ""
            shown = dotted(places[0]) if len(places) == 1 else ".".join(pattern).replace(".*", "[*]")
            sentences.append(f"line {placed.places[places[0]][0]}: {shown}{times} is valid but not used yet.")
    return sentences


def _fits(keys: KeyPath, pattern: tuple[str, ...]) -> bool:
    return len(keys) == len(pattern) and all(p == "*" or k == p for k, p in zip(keys, pattern, strict=True))
