"""The site file as a schema: every key that may stand in it, with its unit and meaning.

Everything is optional except a camera's id.
"""

from __future__ import annotations

import contextlib
import json
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from camera_topology import file_times

# Bounds of numbers and times, so wide that only a slip of the pen lies outside: what comes after must not overflow.
_MOST_S = 1e10  # three centuries: a camera's clock may stand at 1970, and its offset be half of one
_FIRST_YEAR, _LAST_YEAR = 1900, 2200

_Coordinate = Annotated[float, Field(ge=-1e8, le=1e8)]  # px, or m of a national grid
Point = tuple[_Coordinate, _Coordinate]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3)]
Row = tuple[float, float, float]


class Part(BaseModel):
    """Base of all parts: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class WalkingSpeed(Part):
    mean: float = Field(default=1.25, ge=0.01, le=100, description="m/s")
    std: float = Field(default=0.3, ge=0, le=100, description="m/s")
    max: float = Field(default=3.0, gt=0, le=1000, description="m/s; what is faster is impossible")

    @model_validator(mode="after")
    def _ordered(self) -> WalkingSpeed:
        if self.max < self.mean:
            raise ValueError(f"max {self.max} m/s is below mean {self.mean} m/s")
        return self


class Map(Part):
    image: str
    metres_per_pixel: float = Field(gt=0)


class SiteFacts(Part):
    name: str = ""
    timezone: str = Field(default="UTC", description="IANA name, for times written without a zone")
    walking_speed_m_per_s: WalkingSpeed = WalkingSpeed()
    map: Map | None = None

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_timezone(value)


class FileName(Part):
    """A built-in pattern by name, or the user's own."""

    built_in: str = ""
    regex: str = Field(default="", description="groups: start, or year … second; camera")
    strptime: str = Field(default="", description="how to read the group start")
    timezone: str = Field(default="", description="of times without a zone; the site's by default")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_timezone(value) if value else value

    @model_validator(mode="after")
    def _works(self) -> FileName:
        if self.built_in:
            if self.built_in not in file_times.built_in_names():
                from pipeline.errors import closest

                known = closest(self.built_in, file_times.built_in_names())
                raise ValueError(f"no built-in pattern is called '{self.built_in}'. {known}")
        else:
            try:
                file_times.check(self.pattern())
            except (OverflowError, RecursionError):  # of `re`, on a{99999999999} and on ((((…
                raise ValueError("regex is too large for a regular expression; write a shorter one") from None
        return self

    def pattern(self) -> file_times.NamePattern:
        if self.built_in:
            return file_times.built_in(self.built_in)
        return file_times.NamePattern("site file", self.regex, self.strptime, self.timezone)


class Clock(Part):
    """True time = shown time + offset_s; one second of media lasts ``scale`` true seconds."""

    offset_s: float = Field(
        default=0.0, ge=-_MOST_S, le=_MOST_S, description="s, added to what the camera's clock shows"
    )
    offset_std_s: float | None = Field(
        default=None, ge=0, le=_MOST_S, description="s, uncertainty; given means the clock is trusted"
    )
    scale: float = Field(default=1.0, gt=0.1, lt=10, description="true seconds per second of media")


class Position(Part):
    x_m: float = Field(ge=-1e7, le=1e7)
    y_m: float = Field(ge=-1e7, le=1e7)


class WorldPoint(Part):
    image: Point
    world: Point


class Zone(Part):
    id: str
    kind: Literal["entry", "exit", "both"] = "both"
    polygon: Polygon


class Camera(Part):
    id: str = Field(min_length=1, pattern=r"^[^/\\|]+$")
    videos: tuple[str, ...] = Field(default=(), description="globs, relative to the site file")
    filename: FileName | None = None
    start_time: datetime | None = Field(
        default=None, description="of the camera's first file; the others follow it"
    )
    clock: Clock = Clock()
    fps: float | None = Field(
        default=None,
        ge=0.001,
        le=10_000,
        description="true frame rate where the file's stamps are wrong, 1/s",
    )
    position: Position | None = None
    homography: tuple[Row, Row, Row] | None = Field(
        default=None,
        description="3×3, rows; image pixel (u, v, 1) → world (x, y, 1) in metres on the ground plane, up to scale",
    )
    points: tuple[WorldPoint, ...] = Field(
        default=(), description="four or more points of the ground, in px and in m, in place of a homography"
    )
    roi: tuple[Polygon, ...] = Field(default=(), description="only people whose feet are inside count, px")
    ignore: tuple[Polygon, ...] = Field(
        default=(), description="people whose feet are inside do not count, px"
    )
    mask: str | None = Field(
        default=None, description="picture beside the site file, white where people count"
    )
    min_person_height_px: float | None = Field(default=None, ge=0)
    zones: tuple[Zone, ...] = Field(
        default=(), description="where people enter and leave the view, for links"
    )
    split: Literal["train", "test", "both"] = "both"

    @property
    def has_ground(self) -> bool:
        """Whether the file says where on the ground its pixels lie: a homography, or points enough for one."""
        return self.homography is not None or len(self.points) >= 4

    @field_validator("id", mode="before")
    @classmethod
    def _id_is_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("videos", mode="before")
    @classmethod
    def _one_glob(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("filename", mode="before")
    @classmethod
    def _name_of_built_in(cls, value: Any) -> Any:
        return {"built_in": value} if isinstance(value, str) else value

    @field_validator("start_time", mode="before")
    @classmethod
    def _is_time(cls, value: Any) -> Any:
        return iso_time(value)


class Transit(Part):
    """Seconds from leaving one view to entering the other: a mean and spread, three points, or a histogram."""

    mean: float | None = Field(default=None, ge=0, le=_MOST_S)
    std: float | None = Field(default=None, gt=0, le=_MOST_S)
    min: float | None = Field(default=None, ge=0, le=_MOST_S)
    typical: float | None = Field(default=None, ge=0, le=_MOST_S)
    max: float | None = Field(default=None, ge=0, le=_MOST_S)
    edges: tuple[float, ...] | None = None
    counts: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Transit:
        given = {name for name, value in self if value is not None}
        if given not in ({"mean", "std"}, {"min", "typical", "max"}, {"edges", "counts"}):
            raise ValueError("wants {mean, std} or {min, typical, max} or {edges, counts}, in seconds")
        if self.typical is not None:
            assert self.min is not None and self.max is not None
            if not self.min <= self.typical <= self.max or self.min == self.max:
                raise ValueError("wants min <= typical <= max and min < max")
        if self.edges is not None:
            assert self.counts is not None
            rising = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
            if len(self.edges) != len(self.counts) + 1 or not rising or min(self.counts, default=0) < 0:
                raise ValueError("wants rising edges, one more than counts, and no negative count")
            if sum(self.counts) <= 0:
                raise ValueError("wants counts that are not all zero")
        return self


class Link(Part):
    """A directed way from one camera's view to another's; both directions unless said otherwise."""

    from_: str = Field(alias="from")
    to: str
    relation: Literal["adjacent", "overlap", "reachable", "forbidden"] = "adjacent"
    bidirectional: bool = True
    distance_m: float | None = Field(
        default=None, gt=0, le=1e7, description="length of the way people walk, m"
    )
    transit_s: Transit | None = Field(default=None, description="wins over distance_m")
    from_zone: str | None = Field(default=None, description="people leave the first view by this zone of it")
    to_zone: str | None = Field(
        default=None, description="people appear in the second view in this zone of it"
    )
    weight: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="how many people take it, compared with the other links; 1 by default",
    )

    @field_validator("from_", "to", mode="before")
    @classmethod
    def _id_is_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Defaults(Part):
    unlisted_pairs: Literal["weak", "allow", "forbid"] = "weak"
    max_transit_s: float = Field(
        default=900.0,
        gt=0,
        le=_MOST_S,
        description="two sightings farther apart are no walk; bounds the search where a way has no time of its own",
    )
    same_camera_reentry_s: float = Field(
        default=5.0, gt=0, le=_MOST_S,
        description="usual gap between two tracklets of one person in one camera, s; what is not given here, is 3",
    )  # fmt: skip
    across_days: bool = Field(
        default=False, description="one person may be found on several days; clothes change over night"
    )


class Evaluation(Part):
    """The cut: training reads nothing after train_until, testing nothing before test_from."""

    train_until: datetime | None = None
    test_from: datetime | None = None

    @field_validator("train_until", "test_from", mode="before")
    @classmethod
    def _is_time(cls, value: Any) -> Any:
        return iso_time(value)


class SiteFile(Part):
    version: Literal[1] = 1
    site: SiteFacts = SiteFacts()
    cameras: tuple[Camera, ...] = ()
    links: tuple[Link, ...] = ()
    defaults: Defaults = Defaults()
    evaluation: Evaluation = Evaluation()


def json_schema() -> str:
    """The JSON Schema of a site file, as text: editors check and complete by it (docs/site.schema.json)."""
    values = SiteFile.model_json_schema(by_alias=True)
    values["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    values["title"] = "trackweave site file"
    return json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


# Keys that are read and checked and decide nothing yet; '*' stands for any list index.
UNUSED: tuple[tuple[str, ...], ...] = (("site", "map"), ("cameras", "*", "split"))


def known_timezone(name: str) -> str:
    """The name itself; ValueError where there is no such time zone."""
    try:
        ZoneInfo(name)
    except Exception:
        raise ValueError(f"'{name}' is no time zone; write one such as Europe/Berlin or UTC") from None
    return name


def iso_time(value: Any) -> Any:
    """A datetime from what YAML made of a time; ValueError where it is none, or of another age."""
    if value is None:
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise ValueError("wants a time such as 2026-05-01T08:00:00+02:00")
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"wants a time between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return value
