"""NVIDIA's calibration.json (Metropolis, DeepStream, the AI City Challenge's tracks from 2024 on).

By docs.nvidia.com/vss/3.1.0/calibration-schema.html, the data set nvidia/PhysicalAI-SmartSpaces, and NVIDIA's own readers
(mdx.mtmc's Calibrator of 2024, mdx.analytics' CalibrationBase of 2026): ``calibrationType`` cartesian (world in metres), geo
(world is longitude x, latitude y) or image (no world); a sensor has ``id``, ``coordinates`` (where it stands),
``attributes`` (name and value; fps is one), pairs ``imageCoordinates`` and ``globalCoordinates``, ``intrinsicMatrix``,
``extrinsicMatrix`` (3×4), ``cameraMatrix`` (3×4), ``homography``, ``rois`` and ``tripwires`` in the world's coordinates.
``scaleFactor`` and ``translationToGlobalCoordinates`` lead from the world to pixels of a floor plan, and change nothing here.

Which way a homography goes is not agreed: world → image in the data sets and for mdx.mtmc, image → world for
mdx.analytics and NVIDIA's newer makers of calibrations. It is decided by the file's own projection matrix or pairs of points,
and taken for image → world where there are none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camera_topology.convert import gps, ground
from camera_topology.convert.nvidia_sensor import World, add_zones, camera_of, nowhere
from camera_topology.convert.reading import Values, listed, number, put, text_of
from camera_topology.convert.site_text import checked, not_held
from camera_topology.site_schema import Camera, SiteFile
from pipeline.errors import UserError, shown

_WHAT = "calibration.json of NVIDIA's"
_TYPES = ("cartesian", "geo", "image")


def file_in(path: Path) -> Path:
    """The JSON file in a folder, by one of its published names; a file itself."""
    names = ("calibration.json", "calibration_2025_format.json")
    return next((path / name for name in names if (path / name).is_file()), path) if path.is_dir() else path


def read(path: Path) -> tuple[Values, list[str]]:
    """Values of a site file, and what to know of them, from a calibration.json or the folder it is in.

    Raises:
        UserError: no JSON, no sensors, or a part of another kind or size; names the file and the sensor.
    """
    path = file_in(path)
    file = _object(path)
    kind = file.get("calibrationType", "cartesian")
    if kind not in _TYPES:
        raise UserError(f"{path}: calibrationType: wants {', '.join(_TYPES)} (found {shown(kind)}).")
    sensors = [s for s in file["sensors"] if s.get("type", "camera") == "camera"]
    if not sensors:
        raise UserError(f"{path}: has no sensor that is a camera.")
    origin = _origin(sensors, path)
    if kind == "geo" and origin is None:
        raise UserError(
            f"{path}: calibrationType geo wants the origin (lat, lng) of a sensor, to count metres from."
        )
    world = World(kind, origin, unplaced=sum(map(nowhere, sensors)) > 1)
    cameras, doubts = [], []
    for sensor in sensors:
        camera, doubt = camera_of(sensor, world, path)
        cameras.append(camera)
        doubts += doubt + add_zones(camera, sensor.get("rois"), world, f"{path}: sensor {sensor['id']}")
        shared = [
            r
            for r in _list(file.get("rois"))
            if isinstance(r, dict) and sensor["id"] in _list(r.get("sensors"))
        ]
        doubts += add_zones(camera, shared, world, f"{path}: the whole file's")
    if world.unplaced:
        doubts.append("Several sensors have the coordinates 0, 0, so those are taken for unknown.")
    name = _name(sensors)
    if origin and gps.origin_in(name) is None:
        name = gps.with_origin(name, origin)
    site = {"site": {"name": name}} if name else {}
    return checked({**site, "cameras": cameras}, path), [*_notes(file, sensors, kind, cameras), *doubts]


def write(values: Mapping[str, Any], path: Path) -> list[str]:
    """Write a calibration.json (cartesian, homographies image → world), and say what of the site file it does not hold.

    Raises:
        UserError: there are no cameras.
    """
    facts = SiteFile.model_validate(values)
    if not facts.cameras:
        raise UserError("the site file has no cameras, so there is no calibration to write.")
    left: list[str] = []
    origin = gps.origin_in(facts.site.name)
    scale = 1 / facts.site.map.metres_per_pixel if facts.site.map else 1.0
    shared = {
        "origin": {"lat": origin[0], "lng": origin[1]} if origin else {"lat": 0.0, "lng": 0.0},
        "geoLocation": {"lat": 0.0, "lng": 0.0},
        "scaleFactor": scale,
        "translationToGlobalCoordinates": {"x": 0.0, "y": 0.0},
        "place": [{"name": "site", "value": facts.site.name}] if facts.site.name else [],
    }
    sensors = [
        {"type": "camera", "id": camera.id, **shared, **_sensor(camera, left)} for camera in facts.cameras
    ]
    calibration = {"version": "1.0", "osmURL": "", "calibrationType": "cartesian", "sensors": sensors}
    if path.is_dir():
        path = path / "calibration.json"
    put({path: json.dumps(calibration, indent=1, ensure_ascii=False, allow_nan=False) + "\n"})
    left.append("attributes frameWidth and frameHeight, which NVIDIA asks for and no site file tells")
    return [*left, *not_held(facts, {"position", "homography", "points", "zones", "fps", "site"})]


def _sensor(camera: Camera, left: list[str]) -> Values:
    """What differs from sensor to sensor."""
    values: Values = {}
    if camera.position:
        values["coordinates"] = {"x": camera.position.x_m, "y": camera.position.y_m}
    else:
        left.append(f"coordinates of {camera.id}, which NVIDIA asks for and the site file does not tell")
    fps = [] if camera.fps is None else [{"name": "fps", "value": repr(camera.fps)}]
    values["attributes"] = fps
    values["imageCoordinates"] = [dict(zip("xy", p.image, strict=True)) for p in camera.points]
    values["globalCoordinates"] = [dict(zip("xy", p.world, strict=True)) for p in camera.points]
    rois = []
    if camera.homography is not None:
        homography = np.array(camera.homography)
        values["homography"] = homography.tolist()
        for zone in camera.zones:
            if not ground.one_side(homography, zone.polygon):
                left.append(f"zone {zone.id} of {camera.id}, which reaches above the horizon")
                continue
            points = [{"x": x, "y": y} for x, y in ground.mapped(homography, zone.polygon).tolist()]
            rois.append({"id": zone.id, "roiCoordinates": points})
            if zone.kind != "both":
                left.append(f"that zone {zone.id} of {camera.id} is an {zone.kind}")
    elif camera.zones:
        left.append(f"zones of {camera.id}, which has no homography to the world they would stand in")
    return {**values, "rois": rois, "tripwires": []}


def _object(path: Path) -> Values:
    """The whole file, and that it has a list of sensors, each with an id."""
    try:
        file = json.loads(text_of(path, _WHAT))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}; mend it there."
        ) from None
    except (ValueError, RecursionError):  # numbers of ten thousand digits, lists in lists in lists
        raise UserError(f"{path}: not valid JSON; look whether it is the right file.") from None
    sensors = file.get("sensors") if isinstance(file, dict) else None
    if not isinstance(sensors, list) or not all(isinstance(s, dict) for s in sensors):
        raise UserError(f"{path}: has no list of sensors, so it is no {_WHAT}.")
    for i, sensor in enumerate(sensors):
        if not isinstance(sensor.get("id"), str | int) or isinstance(sensor["id"], bool):
            raise UserError(f"{path}: sensors[{i}]: has no id.")
    return dict(file)


def _origin(sensors: list[Values], path: Path) -> gps.Origin | None:
    """The first sensor's origin that is not the placeholder 0, 0 (or next to it)."""
    for sensor in sensors:
        told = sensor.get("origin")
        if isinstance(told, dict) and {"lat", "lng"} <= set(told):
            latitude, longitude = (
                number(told[k], f"{path}: sensor {sensor['id']}: origin.{k}") for k in ("lat", "lng")
            )
            if max(abs(latitude), abs(longitude)) > 0.01 and abs(latitude) < 89 and abs(longitude) <= 180:
                return gps.rounded(latitude, longitude)
    return None


def _name(sensors: list[Values]) -> str:
    """The site's name by the place that all sensors share: city=…/building=…; what we wrote ourselves, as it was."""
    places = [sensor.get("place") for sensor in sensors]
    place = places[0]
    if any(other != place for other in places) or not place:
        return ""
    if isinstance(place, str):
        return place
    if not isinstance(place, list) or not all(isinstance(p, dict) for p in place):
        return ""
    if len(place) == 1 and place[0].get("name") == "site":
        return str(place[0].get("value", ""))
    return "/".join(f"{p.get('name', '')}={p.get('value', '')}" for p in place)


def _notes(file: Values, sensors: list[Values], kind: str, cameras: list[Values]) -> list[str]:
    notes = [f"From NVIDIA's calibration.json, {kind}. It tells no clocks and no ways between cameras."]
    if kind == "image":
        notes.append("It has no world: no places, no homographies.")
    if kind == "geo":
        notes.append(
            "Its degrees are metres here, x east and y north of the origin in the site's name, by WGS 84."
        )
    if any("fps" in camera for camera in cameras):
        notes.append(
            "fps is its attribute of that name; take it out where the files' own time stamps are right."
        )
    if any("zones" in camera for camera in cameras):
        notes.append(
            "Its rois count people and leave nobody out, so they stand as zones; copy one to roi if only people inside shall count."
        )
    dropped = [f"{key} ({n})" for key in ("tripwires", "corridors") if (n := _count(file, sensors, key))]
    attributes = sorted(
        {str(a.get("name")) for s in sensors for a in _list(s.get("attributes")) if isinstance(a, dict)}
        - {"fps"}
    )
    dropped += [f"attributes {listed(attributes)}"] if attributes else []
    dropped += [
        key
        for key in ("intrinsicMatrix", "extrinsicMatrix", "scaleFactor", "group")
        if any(s.get(key) for s in sensors)
    ]
    if dropped:
        notes.append(f"Left out, for a site file has no place for it: {', '.join(dropped)}.")
    return notes


def _count(file: Values, sensors: list[Values], key: str) -> int:
    return sum(len(_list(part.get(key))) for part in (file, *sensors))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
