"""One sensor of NVIDIA's calibration.json as a camera of a site file (see `nvidia`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camera_topology.convert import gps, ground
from camera_topology.convert.reading import Matrix, Values, matrix, number
from pipeline.errors import UserError

_FAR_PX = 10.0  # beyond this, two ways to say the same thing say different things
_FLOOR_M = 0.1  # points higher than this are none of the ground's
_LOOK = [(u, v) for u in (480.0, 960.0, 1440.0) for v in (600.0, 800.0, 1000.0)]


@dataclass(frozen=True)
class World:
    """What the file's coordinates are: kind 'cartesian', 'geo' or 'image', and the origin (degrees) where one is told.

    unplaced: coordinates of 0, 0 stand for none at all.
    """

    kind: str
    origin: gps.Origin | None
    unplaced: bool

    @property
    def to_metres(self) -> Matrix:
        """(3, 3): the file's world → metres."""
        if self.kind != "geo" or self.origin is None:
            return np.eye(3)
        return gps.to_metres(self.origin)[:, [1, 0, 2]]  # the file has longitude first


def camera_of(sensor: Values, world: World, path: Path) -> tuple[Values, list[str]]:
    """A camera's values, and sentences of what is doubtful.

    Raises:
        UserError: a part is no number or matrix, or singular; names the file and the sensor.
    """
    where = f"{path}: sensor {sensor['id']}"
    camera: Values = {"id": str(sensor["id"])}
    if (fps := _fps(sensor)) not in (None, ""):
        camera["fps"] = number(fps, f"{where}: attribute fps")
    if world.kind == "image":
        return camera, []
    doubts = []
    projection = _projection(sensor, where) if world.kind == "cartesian" else None
    points = _points(sensor, world, where)
    place = _place(sensor, world, projection, where)
    if place is not None:
        camera["position"] = {"x_m": place[0], "y_m": place[1]}
    key = "homography" if sensor.get("homography") else "cameraMatrix"
    try:
        if sensor.get("homography"):
            stated = matrix(sensor["homography"], (3, 3), f"{where}: homography")
            homography, off_px = _right_way(stated, projection, points, world)
            camera["homography"] = homography.tolist()
            if off_px > _FAR_PX:
                doubts.append(
                    f"Camera {sensor['id']}: its homography is {off_px:.0f} px off its own projection matrix or points."
                )
        elif projection is not None:
            camera["homography"] = ground.of_projection(projection).tolist()
    except ValueError as error:
        raise UserError(f"{where}: {key}: {error}; it maps no plane.") from None
    if points:
        camera["points"] = points
    return camera, doubts


def add_zones(camera: Values, rois: Any, world: World, where: str) -> list[str]:
    """Add NVIDIA's rois to a camera's values as zones, in pixels; sentences of those that cannot be.

    Raises:
        UserError: an roi is no polygon of numbers.
    """
    doubts = []
    for k, roi in enumerate(rois if isinstance(rois, list) else []):
        name = str(roi.get("id", f"roi-{k + 1}")) if isinstance(roi, dict) else ""
        corners = roi.get("roiCoordinates") if isinstance(roi, dict) else None
        if not isinstance(corners, list) or len(corners) < 3:
            raise UserError(f"{where}: rois[{k}]: wants roiCoordinates of at least three points.")
        polygon = np.array([_xy(corner, f"{where}: rois[{k}]") for corner in corners])
        if world.kind != "image":
            if "homography" not in camera:
                doubts.append(
                    f"Camera {camera['id']}: roi {name} is left out, for it stands in a world that no homography leads to."
                )
                continue
            to_image = ground.inverse(np.array(camera["homography"])) @ world.to_metres
            if not ground.one_side(to_image, polygon):
                doubts.append(
                    f"Camera {camera['id']}: roi {name} is left out, for it reaches behind the camera."
                )
                continue
            polygon = ground.mapped(to_image, polygon)
        camera.setdefault("zones", []).append({"id": name, "kind": "both", "polygon": polygon.tolist()})
    return doubts


def _fps(sensor: Values) -> Any:
    attributes = sensor.get("attributes")
    named = attributes if isinstance(attributes, list) else []
    return next((a.get("value") for a in named if isinstance(a, dict) and a.get("name") == "fps"), None)


def _projection(sensor: Values, where: str) -> Matrix | None:
    """P (3, 4), world → image: of intrinsics and extrinsics, whose signs are right, before that of cameraMatrix."""
    if sensor.get("intrinsicMatrix") and sensor.get("extrinsicMatrix"):
        k = matrix(sensor["intrinsicMatrix"], (3, 3), f"{where}: intrinsicMatrix")
        rows = sensor["extrinsicMatrix"]  # some have a fourth row, 0 0 0 1
        rows = rows[:3] if isinstance(rows, list) and len(rows) == 4 else rows
        return np.asarray(k @ matrix(rows, (3, 4), f"{where}: extrinsicMatrix"))
    if sensor.get("cameraMatrix"):
        return matrix(sensor["cameraMatrix"], (3, 4), f"{where}: cameraMatrix")
    return None


def _points(sensor: Values, world: World, where: str) -> list[Values]:
    """Pairs of image and ground point, px and m; those above the ground are left out."""
    image, ground_points = (sensor.get(key) or [] for key in ("imageCoordinates", "globalCoordinates"))
    if not isinstance(image, list) or not isinstance(ground_points, list) or len(image) != len(ground_points):
        raise UserError(f"{where}: wants as many imageCoordinates as globalCoordinates.")
    pairs = []
    for a, b in zip(image, ground_points, strict=True):
        pixel, point = _xy(a, f"{where}: imageCoordinates"), _xy(b, f"{where}: globalCoordinates")
        if abs(number(b.get("z") or 0, f"{where}: globalCoordinates")) < _FLOOR_M:
            pairs.append({"image": pixel, "world": ground.mapped(world.to_metres, [point])[0].tolist()})
    return pairs


def _place(sensor: Values, world: World, projection: Matrix | None, where: str) -> tuple[float, float] | None:
    """Where the camera stands, m: its coordinates (geo: geoLocation), or what its projection matrix says."""
    if world.kind == "geo":
        told = sensor.get("geoLocation")
        if not isinstance(told, dict) or not any(told.values()) or world.origin is None:
            return None
        at = [number(told.get(key), f"{where}: geoLocation.{key}") for key in ("lat", "lng")]
        x, y = ground.mapped(gps.to_metres(world.origin), [at])[0]
        return float(x), float(y)
    if sensor.get("coordinates") and not (world.unplaced and nowhere(sensor)):
        x, y = _xy(sensor["coordinates"], f"{where}: coordinates")
        return x, y
    try:
        return None if projection is None else tuple(ground.centre(projection)[:2].tolist())  # type: ignore[return-value]
    except ValueError:
        return None


def nowhere(sensor: Values) -> bool:
    """Whether coordinates are 0, 0, as makers of calibrations write who do not know them."""
    told = sensor.get("coordinates")
    return isinstance(told, dict) and told.get("x") == 0 and told.get("y") == 0


def _right_way(
    stated: Matrix, projection: Matrix | None, points: list[Values], world: World
) -> tuple[Matrix, float]:
    """The homography image → metres, whichever way round the file has it, and how far off its evidence is (px).

    Raises:
        ValueError: it is singular.
    """
    if points:
        pixels, places = np.array([p["image"] for p in points]), np.array([p["world"] for p in points])
    elif projection is not None:
        pixels, places = np.array(_LOOK), ground.mapped(ground.of_projection(projection), _LOOK)
    else:
        pixels = places = np.empty((0, 2))
    forward = ground.scaled(world.to_metres @ stated)
    backward = stated @ np.linalg.inv(world.to_metres)
    ways = []
    for to_world in (
        lambda: (forward, ground.inverse(forward)),
        lambda: (ground.inverse(backward), backward),
    ):
        try:
            homography, to_image = to_world()
        except ValueError:
            continue
        off = np.linalg.norm(ground.mapped(to_image, places) - pixels, axis=1)
        ways.append((float(np.median(np.nan_to_num(off, nan=np.inf))) if len(off) else 0.0, homography))
    if not ways:
        raise ValueError("is singular")
    off_px, homography = min(ways, key=lambda way: way[0])
    return homography, off_px


def _xy(value: Any, where: str) -> list[float]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: wants points with x and y.")
    return [number(value.get(key), f"{where}.{key}") for key in "xy"]
