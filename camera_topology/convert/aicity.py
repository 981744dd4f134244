"""The AI City Challenge's calibration.txt (CityFlow, Tang et al. 2019): a folder a camera, in each a homography to GPS.

As Cal_PnP (github.com/zhengthomastang/Cal_PnP) writes it and vehicle_mtmc's ``mot/projection_3d.py`` reads it: a line
``Homography matrix: a b c;d e f;g h i`` that takes (latitude, longitude, 1) in degrees to the pixel, and perhaps
``Intrinsic parameter matrix: …``, ``Distortion coefficients: …`` and ``Reprojection error: …``. A file whose matrix goes
the other way, pixel to GPS, is known by where it leads. A scene is a folder (S01) of cameras (c001). The later
tracks' calibration.json is NVIDIA's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camera_topology.convert import gps, ground
from camera_topology.convert.reading import Matrix, Values, listed, matrix, natural_key, number, put, text_of
from camera_topology.convert.site_text import checked, not_held
from camera_topology.site_schema import SiteFile
from pipeline.errors import UserError

NAME, HEAD = "calibration.txt", "Homography matrix"
_WHAT = "calibration of the AI City Challenge"
# Pixels where ground is seen in pictures of 1280 to 2560 px width: they tell where on earth a camera is.
_LOOK = [(u, v) for u in (320.0, 640.0, 960.0) for v in (600.0, 750.0, 900.0)]
_NEAR_DEG = 0.1
_FAR_DEG = 0.5


def files(path: Path) -> list[Path]:
    """The calibration.txt of each camera of a scene: ``path`` itself, or in it, or in the folders in it, sorted."""
    if not path.is_dir():
        return [path]
    found = [path / NAME] if (path / NAME).is_file() else list(path.glob(f"*/{NAME}"))
    return sorted(found, key=lambda p: natural_key(p.parent.name))


def read(path: Path) -> tuple[Values, list[str]]:
    """Values of a site file, and what to know of them, from a scene's folder or one camera's file.

    Raises:
        UserError: no calibration there, or one without a matrix that leads to GPS; names the file.
    """
    found = files(path)
    if not found:
        scenes = sorted({p.parents[1].name for p in path.glob(f"*/*/{NAME}")}, key=natural_key)
        more = (
            f"name one of its scenes: {listed(scenes)}" if scenes else f"its cameras' folders have no {NAME}"
        )
        raise UserError(f"{path}: is no scene of the AI City Challenge; {more}.")
    to_gps, seen, errors, bent, turned = {}, [], [], [], []
    for file in found:
        camera = Path(os.path.abspath(file)).parent.name
        if camera in to_gps:
            raise UserError(f"{file}: a second camera '{camera}'; keep one.")
        told = _lines(file)
        h = _matrix(told[HEAD.lower()], file)
        to_gps[camera], where, backward = _leading_to_gps(h, file)
        seen.append(where)
        errors += [f"{camera} {told['reprojection error']} px"] if "reprojection error" in told else []
        bent += (
            [camera]
            if any(key in told for key in ("intrinsic parameter matrix", "distortion coefficients"))
            else []
        )
        turned += [camera] if backward else []
    origin = gps.rounded(*np.median(seen, axis=0))
    apart_deg = np.abs(np.array(seen) - origin) * [1, np.cos(np.radians(origin[0]))]
    if apart_deg.max() > _FAR_DEG:
        raise UserError(
            f"{path}: its cameras are up to {apart_deg.max() * 111:.0f} km apart, so they are no one site; name one scene."
        )
    cameras = []
    for file, (camera, h) in zip(found, to_gps.items(), strict=True):
        try:
            homography = ground.scaled(gps.to_metres(origin) @ h)
            ground.inverse(homography)
        except ValueError as error:
            raise UserError(f"{file}: {HEAD}: {error}; it maps no plane.") from None
        cameras.append({"id": camera, "homography": homography.tolist()})
    scene = Path(os.path.abspath(found[0])).parents[1].name
    notes = [
        f"From the AI City Challenge's {NAME}. Its degrees of latitude and longitude are metres here, x to the east and "
        f"y to the north of the origin in the site's name, by WGS 84.",
        "It tells no times (they stand in cam_timestamp and cam_framenum of the data set), places of cameras or ways.",
    ]
    if errors:
        notes.append(f"Reprojection errors by the files: {listed(errors, 50)}.")
    if bent:
        notes.append(
            f"Lens distortion is left out: the homographies of {listed(bent)} are of pictures without it, and off "
            "towards the edges of those with it."
        )
    if turned:
        notes.append(
            f"The matrices of {listed(turned)} go from the picture to GPS, against the published form."
        )
    return checked({"site": {"name": gps.with_origin(scene, origin)}, "cameras": cameras}, path), notes


def write(values: Mapping[str, Any], path: Path) -> list[str]:
    """Write ``path``/camera/calibration.txt for every camera with a homography, and say what is not held.

    Raises:
        UserError: no camera has a homography, or the site's name tells no origin.
    """
    facts = SiteFile.model_validate(values)
    origin = gps.origin_in(facts.site.name)
    if origin is None:
        raise UserError(
            "the AI City Challenge's homographies lead to GPS, and the site file does not tell where on earth it is; "
            "write the latitude and longitude of x = y = 0 into site.name, as in 'S01 (origin 42.52568, -90.72360)'."
        )
    without = [camera.id for camera in facts.cameras if camera.homography is None]
    if len(without) == len(facts.cameras):
        raise UserError("no camera has a homography, and that is all the AI City Challenge's files hold.")
    texts = {}
    for camera in facts.cameras:
        if camera.homography is None:
            continue
        try:
            h = ground.inverse(np.array(camera.homography)) @ gps.to_metres(origin)
        except ValueError as error:
            raise UserError(f"camera '{camera.id}': its homography {error}.") from None
        rows = ";".join(" ".join(repr(float(x)) for x in row) for row in ground.scaled(h))
        texts[path / camera.id / NAME] = f"{HEAD}: {rows}\n"
    put(texts)
    left = [f"cameras without a homography: {listed(without)}"] if without else []
    return [*left, *not_held(facts, {"homography", "site"})]


def _lines(file: Path) -> dict[str, str]:
    """What stands before and after the colon of each line; what stands before in small letters."""
    text = text_of(file, _WHAT)
    told = {
        key.strip().lower(): rest.strip()
        for key, _, rest in (line.partition(":") for line in text.splitlines())
    }
    if HEAD.lower() not in told:
        raise UserError(f"{file}: has no line '{HEAD}: …', so it is no {_WHAT}.")
    if "reprojection error" in told:
        told["reprojection error"] = (
            f"{number(told['reprojection error'], f'{file}: Reprojection error'):.1f}"
        )
    return told


def _matrix(text: str, file: Path) -> Matrix:
    return matrix([row.split() for row in text.split(";")], (3, 3), f"{file}: {HEAD}")


def _leading_to_gps(h: Matrix, file: Path) -> tuple[Matrix, tuple[float, float], bool]:
    """The matrix pixel → (latitude, longitude), where it looks, and whether the file has it that way round."""
    try:
        published = np.asarray(np.linalg.inv(h), np.float64)
    except np.linalg.LinAlgError:
        raise UserError(f"{file}: {HEAD}: is singular; it maps no plane.") from None
    for to_gps, backward in ((published, False), (h, True)):
        points = ground.mapped(to_gps, _LOOK)
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            continue
        middle = np.median(points, axis=0)
        apart = np.median(np.abs(points - middle), axis=0)
        if abs(middle[0]) < 89 and abs(middle[1]) <= 180 and (apart < _NEAR_DEG).all():
            return to_gps, (float(middle[0]), float(middle[1])), backward
    raise UserError(f"{file}: {HEAD}: leads from the picture to no GPS (degrees of latitude and longitude).")
