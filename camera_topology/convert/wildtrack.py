"""WILDTRACK's calibrations (Chavdarova et al. 2018): OpenCV FileStorage XML, a pair of files a camera, world in centimetres.

By the data set's layout and its readers (github.com/hou-yz/MVDet): ``calibrations/extrinsic/extr_CVLab1.xml`` has rvec
(Rodrigues) and tvec of world → camera as bare numbers, ``calibrations/intrinsic_zero/intr_CVLab1.xml`` the
``camera_matrix`` of the undistorted pictures as an opencv-matrix; ``intrinsic_original`` is of the distorted ones. MultiviewX
(github.com/hou-yz/MultiviewX) has the same layout with opencv-matrices throughout, a folder ``intrinsic``, and metres. The
ground is z = 0.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camera_topology.convert import ground
from camera_topology.convert.reading import Matrix, Values, listed, natural_key, number, put, text_of
from camera_topology.convert.site_text import checked, not_held
from camera_topology.site_schema import SiteFile
from pipeline.errors import UserError

_CM = 0.01  # m
# No camera hangs 20 cm high, and few 20 m: below, the files are in metres, as MultiviewX has them.
_LOWEST_CM = 20.0
_INTRINSICS = ("intrinsic_zero", "intrinsic", "intrinsic_original", ".")


def files(path: Path) -> list[Path]:
    """The extr_*.xml of each camera: in ``path``, a folder of the layout or a file of it, sorted."""
    folder = path if path.is_dir() else path.parent
    for place in (
        folder,
        folder / "extrinsic",
        folder / "calibrations" / "extrinsic",
        folder.parent / "extrinsic",
    ):
        if found := list(place.glob("extr_*.xml")):
            return sorted(found, key=lambda p: natural_key(p.name))
    return []


def read(path: Path) -> tuple[Values, list[str]]:
    """Values of a site file, and what to know of them, from a folder of calibrations.

    Homographies are the inverse of K[r₁ r₂ t], places -Rᵀt.

    Raises:
        UserError: no calibrations there, a file is missing or damaged; names the file.
    """
    if not path.exists():
        raise UserError(f"{path}: no such folder of calibrations.")
    found = files(path)
    if not found:
        raise UserError(f"{path}: has no extr_*.xml, so it holds no calibrations as WILDTRACK's.")
    sources = {file.stem.removeprefix("extr_"): file for file in found}
    intrinsic, projections = {}, {}
    for name, file in sources.items():
        intrinsic[name] = _intrinsic_file(file, name)
        k = _numbers(intrinsic[name], "camera_matrix", 9).reshape(3, 3)
        projections[name] = k @ np.c_[_rotation(_numbers(file, "rvec", 3)), _numbers(file, "tvec", 3)]
    try:
        centres = {name: ground.centre(p) for name, p in projections.items()}
        heights = [abs(c[2]) for c in centres.values()]
        unit = _CM if np.median(heights) >= _LOWEST_CM else 1.0
        to_metres = np.diag([unit, unit, 1.0])
        homographies = {n: ground.scaled(to_metres @ ground.of_projection(p)) for n, p in projections.items()}
    except ValueError as error:
        broken = next(n for n, p in projections.items() if _singular(p))
        raise UserError(
            f"{intrinsic[broken]}: with {sources[broken]} the ground's projection {error}."
        ) from None
    cameras = [
        {
            "id": name,
            "position": {"x_m": float(centres[name][0] * unit), "y_m": float(centres[name][1] * unit)},
            "homography": homographies[name].tolist(),
        }
        for name in projections
    ]
    used = sorted({file.parent.name for file in intrinsic.values()})
    notes = [
        f"From calibrations in WILDTRACK's layout, taken to be in {'centimetres' if unit == _CM else 'metres'}: so the "
        f"cameras hang {np.median(heights) * unit:.1f} m high (median).",
        f"Intrinsics are those of {listed(used)}; lens distortion is left out, so the homographies are of undistorted "
        "pictures.",
        "It tells no times or ways. Cameras are called as its files are; recordings called otherwise (cam1, C1) need "
        "videos, or another id.",
    ]
    return checked({"cameras": cameras}, path), notes


def write(values: Mapping[str, Any], path: Path) -> list[str]:
    """Write ``path``/calibrations for every camera with a homography and a position, and say what is not held.

    A site file has no K, R and t; written are those of a camera that has the homography, stands at the position, and whose
    pixels are as square as may be (`ground.camera_above`).

    Raises:
        UserError: no camera has both, or a homography and a position do not go together.
    """
    facts = SiteFile.model_validate(values)
    texts, without = {}, []
    for camera in facts.cameras:
        if camera.homography is None or camera.position is None:
            without.append(camera.id)
            continue
        try:
            k, r, t = ground.camera_above(
                np.array(camera.homography), camera.position.x_m, camera.position.y_m
            )
        except ValueError as error:
            raise UserError(f"camera '{camera.id}' {error}.") from None
        texts[path / "calibrations" / "extrinsic" / f"extr_{camera.id}.xml"] = _storage(
            _bare("rvec", _rotation_vector(r)) + _bare("tvec", t / _CM)
        )
        texts[path / "calibrations" / "intrinsic_zero" / f"intr_{camera.id}.xml"] = _storage(
            _opencv_matrix("camera_matrix", k) + _opencv_matrix("distortion_coefficients", np.zeros((1, 5)))
        )
    if not texts:
        raise UserError(
            "no camera has both a homography and a position, which WILDTRACK's calibrations need."
        )
    put(texts)
    left = [f"cameras without a homography or a position: {listed(without)}"] if without else []
    return [*left, *not_held(facts, {"homography", "position"})]


def _singular(projection: Matrix) -> bool:
    try:
        ground.centre(projection)
        ground.of_projection(projection)
    except ValueError:
        return True
    return False


def _intrinsic_file(extrinsic: Path, name: str) -> Path:
    for folder in _INTRINSICS:
        file = (
            extrinsic.parent / ".." / folder / f"intr_{name}.xml"
            if folder != "."
            else extrinsic.with_name(f"intr_{name}.xml")
        )
        if file.is_file():
            return file.parent.resolve() / file.name
    raise UserError(f"{extrinsic}: its camera has no intr_{name}.xml in {', '.join(_INTRINSICS[:3])} beside.")


def _numbers(file: Path, key: str, count: int) -> Matrix:
    """The numbers of one node, as a bare list or as an opencv-matrix."""
    text = text_of(file, "FileStorage of OpenCV")
    try:
        if "<!" in text.replace("<!--", ""):  # entities that unfold to billions of letters
            raise ElementTree.ParseError("it declares its own entities, which no FileStorage does")
        node = ElementTree.fromstring(text).find(key)
    except (ElementTree.ParseError, RecursionError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as OpenCV's XML: {error}.") from None
    if node is None:
        raise UserError(f"{file}: has no <{key}>, so it is no calibration as WILDTRACK's.")
    data = node.find("data")
    words = ((node if data is None else data).text or "").split()
    if len(words) != count:
        raise UserError(f"{file}: {key}: wants {count} numbers (found {len(words)}).")
    return np.array([number(word, f"{file}: {key}") for word in words])


def _rotation(vector: Matrix) -> Matrix:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vector).as_matrix())


def _rotation_vector(rotation: Matrix) -> Matrix:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())


def _storage(inner: str) -> str:
    return f'<?xml version="1.0"?>\n<opencv_storage>\n{inner}</opencv_storage>\n'


def _bare(key: str, numbers: Matrix) -> str:
    return f"<{key}>\n  {' '.join(repr(float(x)) for x in numbers)}\n</{key}>\n"


def _opencv_matrix(key: str, matrix: Matrix) -> str:
    rows, columns = matrix.shape
    data = " ".join(repr(float(x)) for x in matrix.ravel())
    return (
        f'<{key} type_id="opencv-matrix">\n  <rows>{rows}</rows>\n  <cols>{columns}</cols>\n  <dt>d</dt>\n'
        f"  <data>\n    {data}</data></{key}>\n"
    )
