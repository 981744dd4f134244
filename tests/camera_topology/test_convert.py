"""`topology convert`: fixtures in the published shapes, round trips, known geometry, hostile files."""

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_topology import site
from camera_topology.convert import aicity, gps, ground, nvidia, vehicle_mtmc, wildtrack
from camera_topology.convert.formats import FORMATS, as_site, from_site, guess
from camera_topology.convert.site_text import site_text
from camera_topology.site_schema import Camera, SiteFile
from pipeline.errors import UserError
from tests.tiny_site import pipeline

READ = {
    "vehicle_mtmc": vehicle_mtmc.read,
    "nvidia": nvidia.read,
    "aicity": aicity.read,
    "wildtrack": wildtrack.read,
}

# In the shape of github.com/regob/vehicle_mtmc, config/cityflow/s01_camera_layout.txt; one-way from c002 to c003.
LAYOUT = """\
# scales and offsets help synchronize the cameras
### camera mapping
# cam 0: c001
# cam 1: c002
# cam 2: c003

fps
10.0 10.0 8.0

scales
1.0 1.093 0.9329

offset
-9.5 -6.3 0

compatibility
0 1 0
1 0 1
0 0 1

dtmin
0 -7 0
-7 0 4
0 0 0

dtmax
0 7 0
7 0 10
0 0 0
"""
# github.com/regob/vehicle_mtmc, config/examples/highway_calibration.txt, rounded; two lines as Cal_PnP adds for a bent lens.
HIGHWAY = """\
Homography matrix: -29.6275510978 -15.6285629613 1442.2085359861;-5.8089130707 1.6789463591 254.4223318471;-0.0231472317 0.0090041213 1.0
Intrinsic parameter matrix: 1200.0 0.0 640.0;0.0 1200.0 480.0;0.0 0.0 1.0
Distortion coefficients: -0.3 0.1 0.0 0.0
Reprojection error: 2.206343829589579
"""
# calibrations/{extrinsic,intrinsic_zero}/*_CVLab1.xml of WILDTRACK, numbers as its readers quote them.
EXTRINSIC = """\
<?xml version="1.0"?>
<opencv_storage>
  <rvec>
    1.759099006652832 0.46710100769996643 -0.331699013710022
  </rvec>
  <tvec>
    -525.8941650390625 45.40763473510742 986.7235107421875
  </tvec>
</opencv_storage>
"""
INTRINSIC = """\
<?xml version="1.0"?>
<opencv_storage>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows>
  <cols>3</cols>
  <dt>f</dt>
  <data>
    1743.4478759765625 0. 934.5202026367188 0. 1735.1566162109375
    444.3987731933594 0. 0. 1.</data></camera_matrix>
</opencv_storage>
"""


def camera(seed: int, aspect: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """K, R, t and the centre (m) of a camera 2 to 9 m above the ground that looks down 10 to 60 degrees."""
    rng = np.random.default_rng(seed)
    f = rng.uniform(700, 2000)
    k = np.array([[f * aspect, 0, rng.uniform(800, 1100)], [0, f, rng.uniform(400, 650)], [0, 0, 1]])
    at = np.array([*rng.uniform(-40, 40, 2), rng.uniform(2, 9)])
    pan, tilt, roll = rng.uniform(0, 2 * math.pi), rng.uniform(0.17, 1.05), rng.uniform(-0.1, 0.1)
    look = np.array([math.cos(tilt) * math.cos(pan), math.cos(tilt) * math.sin(pan), -math.sin(tilt)])
    right = np.cross(look, [0, 0, 1])
    right /= np.linalg.norm(right)
    r = cv2.Rodrigues(np.array([0, 0, roll]))[0] @ np.array([right, np.cross(look, right), look])
    return k, r, -r @ at, at


def seen(k: np.ndarray, r: np.ndarray, t: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """The pixel of a point on the ground, written out."""
    in_camera = [sum(r[i][j] * p for j, p in enumerate((x, y, 0.0))) + t[i] for i in range(3)]
    u, v, w = (sum(k[i][j] * in_camera[j] for j in range(3)) for i in range(3))
    return u / w, v / w


def on_ground(k: np.ndarray, r: np.ndarray, t: np.ndarray, at: np.ndarray) -> list[tuple[float, float]]:
    """Some points on the ground before the camera, m."""
    ahead = r[2][:2] / np.linalg.norm(r[2][:2])
    aside = np.array([-ahead[1], ahead[0]])
    return [tuple(at[:2] + d * ahead + s * aside) for d in (5.0, 9.0, 20.0) for s in (-3.0, 0.0, 4.0)]


def through(homography: Any, pixel: tuple[float, float]) -> tuple[float, float]:
    x, y, w = (row[0] * pixel[0] + row[1] * pixel[1] + row[2] for row in homography)
    return x / w, y / w


def same(a: Any, b: Any, tolerance: float = 1e-7) -> bool:
    """Whether two site files' values are equal, numbers to a share of the largest beside them."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k], tolerance) for k in a)
    if isinstance(a, list):
        if len(a) != len(b):
            return False
        if a and all(isinstance(x, int | float) for x in a):
            return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(a).max()))
        return all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    return a == pytest.approx(b, rel=tolerance, abs=1e-9) if isinstance(a, float | int) else a == b


def loaded(text: str, folder: Path) -> site.Site:
    (folder / "site.yaml").write_text(text, encoding="utf-8")
    return site.load(folder / "site.yaml")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file or folder of each format."""
    k, r, t, at = camera(1)
    sensor = {
        "type": "camera", "id": "Camera_01", "origin": {"lng": 0, "lat": 0}, "coordinates": {"x": at[0], "y": at[1]},
        "scaleFactor": 9.5, "translationToGlobalCoordinates": {"x": 30.0, "y": 18.0},
        "attributes": [{"name": "fps", "value": "30"}, {"name": "frameWidth", "value": "1920"}],
        "place": [{"name": "building", "value": "Warehouse"}, {"name": "room", "value": "1"}],
        "imageCoordinates": [], "globalCoordinates": [],
        "intrinsicMatrix": k.tolist(), "extrinsicMatrix": np.c_[r, t].tolist(),
        "cameraMatrix": (k @ np.c_[r, t]).tolist(), "homography": (k @ np.c_[r[:, :2], t]).tolist(),
        "tripwires": [{"id": "wire", "wire": {"p1": {"x": 0, "y": 0}, "p2": {"x": 1, "y": 0}}}],
        "rois": [{"id": "dock", "roiCoordinates": [{"x": x, "y": y} for x, y in on_ground(k, r, t, at)[:3]]}],
    }  # fmt: skip
    (tmp_path / "calibration.json").write_text(
        json.dumps({"version": "1.0", "osmURL": "", "calibrationType": "cartesian", "sensors": [sensor]})
    )
    (tmp_path / "layout.txt").write_text(LAYOUT)
    (tmp_path / "S01" / "c010").mkdir(parents=True)
    (tmp_path / "S01" / "c010" / "calibration.txt").write_text(HIGHWAY)
    for folder, name, text in (("extrinsic", "extr", EXTRINSIC), ("intrinsic_zero", "intr", INTRINSIC)):
        (tmp_path / "wild" / "calibrations" / folder).mkdir(parents=True)
        (tmp_path / "wild" / "calibrations" / folder / f"{name}_CVLab1.xml").write_text(text)
    return {
        "vehicle_mtmc": tmp_path / "layout.txt",
        "nvidia": tmp_path / "calibration.json",
        "aicity": tmp_path / "S01",
        "wildtrack": tmp_path / "wild",
    }


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(files: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Read, printed, loaded, written and read again is what was read first."""
    assert guess(files[name]) == name
    first, notes = READ[name](files[name])
    SiteFile.model_validate(first)
    text = as_site(files[name])
    assert all(note.split()[0] in text for note in notes) and str(files[name]) in text
    assert same(first, {k: v for k, v in yaml.safe_load(text).items() if k != "version"})
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    # The scene's name is its folder's, so it must be the same there.
    out = tmp_path / "out" / files[name].name
    from_site(tmp_path / "site.yaml", name, out)
    again, _ = READ[name](out)
    assert same(first, again)
    assert guess(out) == name
    with pytest.raises(UserError, match="is there already"):
        from_site(tmp_path / "site.yaml", name, out)


def test_text_is_for_people(files: dict[str, Path]) -> None:
    lines = as_site(files["wildtrack"]).splitlines()
    assert lines[0].startswith("# Made by `trackweave topology convert`")
    row = lines.index("    homography:    # image px → world m on the ground")
    assert all(line.startswith("      - [") for line in lines[row + 1 : row + 4]), "a matrix in rows"
    wild = site_text({"cameras": [{"id": "yes"}, {"id": "1"}]}, ["two\nlines \x1b[2J and \ud800"])
    assert yaml.safe_load(wild) == {"version": 1, "cameras": [{"id": "yes"}, {"id": "1"}]}
    assert wild.isascii() and wild.startswith("# two\\n")


# vehicle_mtmc


def test_their_clock_is_ours(files: dict[str, Path]) -> None:
    """Frame f is at f / fps / scale + offset for them (mtmc_clustering.py), offset_s + scale · media time for us."""
    values, _ = vehicle_mtmc.read(files["vehicle_mtmc"])
    theirs = zip((10.0, 10.0, 8.0), (1.0, 1.093, 0.9329), (-9.5, -6.3, 0.0), strict=True)
    for ours, (fps, scale, offset) in zip(values["cameras"], theirs, strict=True):
        for frame in (0, 1, 2000):
            media_s = frame / ours["fps"]
            assert ours["clock"]["offset_s"] + ours["clock"]["scale"] * media_s == pytest.approx(
                frame / fps / scale + offset
            )


def test_their_compatibility_is_ours(files: dict[str, Path], tmp_path: Path) -> None:
    found = loaded(as_site(files["vehicle_mtmc"]), tmp_path)
    relations = {(a, b): found.relation(a, b) for a in found.cameras for b in found.cameras if a != b}
    assert relations == {
        ("c001", "c002"): "overlap", ("c002", "c001"): "overlap", ("c001", "c003"): "forbidden",
        ("c003", "c001"): "forbidden", ("c002", "c003"): "adjacent", ("c003", "c002"): "forbidden",
    }  # fmt: skip
    way = found.transit_s("c002", "c003")
    assert way is not None and (way.min, way.typical, way.max) == (4, 7, 10)
    assert found.transit_s("c003", "c002") is None


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(2, 4))
def test_layouts_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n: int) -> None:
    folder = tmp_path_factory.mktemp("layout")
    numbers = st.one_of(st.integers(-9, 9), st.sampled_from([-math.inf, math.inf]))
    tables = {key: [[0.0] * n for _ in range(n)] for key in ("compatibility", "dtmin", "dtmax")}
    for i in range(n):
        for j in range(n):
            low, high = sorted((data.draw(numbers), data.draw(numbers)))
            if low < math.inf and high > -math.inf:
                tables["dtmin"][i][j], tables["dtmax"][i][j] = low, high
            tables["compatibility"][i][j] = data.draw(st.integers(0, 1))
    rows = ["fps", *([" ".join(["25"] * n)]), "offset", " ".join(map(str, range(n)))]
    for key, table in tables.items():
        form = "{:.0f}".format if key == "compatibility" else str
        rows += [key, *(" ".join(form(x) for x in row) for row in table)]
    (folder / "a.txt").write_text("\n".join(rows))
    first, _ = vehicle_mtmc.read(folder / "a.txt")
    vehicle_mtmc.write(first, folder / "b.txt")
    again, _ = vehicle_mtmc.read(folder / "b.txt")
    before, after = (site.Site(SiteFile.model_validate(values)) for values in (first, again))
    assert same(first["cameras"], again["cameras"])
    for a, b in permutations(before.cameras, 2):
        assert before.relation(a, b) == after.relation(a, b)
        way, came = before.transit_s(a, b), after.transit_s(a, b)
        if way is None and before.relation(a, b) == "overlap":  # which must have an interval there
            assert came is not None and (came.min, came.typical, came.max) == (0, 0, 5)
        else:
            assert way == came
    # What both hold: which ways there are, and the interval where its middle is not before 0.
    lines = (folder / "b.txt").read_text().splitlines()
    for key, table in tables.items():
        at = lines.index(key) + 1
        written = [[float(x) for x in line.split()] for line in lines[at : at + n]]
        for i in range(n):
            for j in range(n):
                low, high = tables["dtmin"][i][j], tables["dtmax"][i][j]
                held = high > max(low, 0) and 0 <= low + high < math.inf
                if i != j and (
                    key == "compatibility" or (tables["compatibility"][i][j] and held and low + high)
                ):
                    assert written[i][j] == table[i][j]


def test_ways_of_every_kind_become_intervals(tmp_path: Path) -> None:
    links: list[dict[str, Any]] = [
        {"from": "a", "to": "b", "transit_s": {"mean": 30, "std": 10}},
        {"from": "a", "to": "c", "distance_m": 125},
        {"from": "b", "to": "c", "transit_s": {"edges": [3, 5, 9], "counts": [1, 1]}},
        {"from": "a", "to": "d", "relation": "forbidden"},
        {"from": "b", "to": "d", "relation": "overlap"},
    ]
    cameras = [{"id": c, "fps": 25, "start_time": f"2026-05-01T08:00:0{i}Z"} for i, c in enumerate("abcd")]
    values = {"cameras": [{**cameras[0], "clock": {"offset_s": 0.5}}, *cameras[1:]], "links": links}
    left = vehicle_mtmc.write(values, tmp_path / "layout.txt")
    again, _ = vehicle_mtmc.read(tmp_path / "layout.txt")
    ways = {(w["from"], w["to"]): w for w in again["links"]}
    assert [ways["a", "b"]["transit_s"][k] for k in ("min", "max")] == [10, 50]
    # 125 m at 1.25 m/s take 100 ± 70 s, and never less than 125 m at 3 m/s.
    assert [ways["a", "c"]["transit_s"][k] for k in ("min", "max")] == pytest.approx([125 / 3, 240])
    assert [ways["b", "c"]["transit_s"][k] for k in ("min", "max")] == [3, 9]
    assert ways["a", "d"]["relation"] == "forbidden" and ways["b", "d"]["relation"] == "overlap"
    assert ways["c", "d"]["relation"] == "reachable", "unlisted, and not forbidden"
    assert [c["clock"]["offset_s"] for c in again["cameras"]] == [0.5, 1, 2, 3], "later starts are offsets"
    assert left == [f"that the overlap of {a} and {b} has no interval; 5 s taken" for a, b in ("bd", "db")]
    with pytest.raises(UserError, match="camera 'a' has no fps"):
        vehicle_mtmc.write({"cameras": [{"id": "a"}]}, tmp_path / "other.txt")


# Known geometry


@pytest.mark.parametrize("seed", range(20))
def test_known_points_come_back(tmp_path: Path, seed: int) -> None:
    """Points on the ground, projected through K[R|t], lie through each format's homography where they were."""
    k, r, t, at = camera(seed, aspect=1.01)
    points = on_ground(k, r, t, at)
    p = k @ np.c_[r, t]
    for folder, text in (
        ("extrinsic/extr_x.xml", EXTRINSIC.replace("1.759099006652832 0.46710100769996643 -0.331699013710022",
            " ".join(map(repr, cv2.Rodrigues(r)[0].ravel().tolist()))).replace(
            "-525.8941650390625 45.40763473510742 986.7235107421875", " ".join(map(repr, (100 * t).tolist())))),
        ("intrinsic_zero/intr_x.xml", f"<opencv_storage><camera_matrix><data>{' '.join(map(repr, k.ravel().tolist()))}"
            "</data></camera_matrix></opencv_storage>"),
    ):  # fmt: skip
        (tmp_path / folder).parent.mkdir(parents=True)
        (tmp_path / folder).write_text(text)
    found = [wildtrack.read(tmp_path)[0]["cameras"][0]]
    to_image = p[:, [0, 1, 3]]
    pairs = {
        "imageCoordinates": [dict(zip("xy", seen(k, r, t, *point), strict=True)) for point in points],
        "globalCoordinates": [{"x": x, "y": y} for x, y in points],
    }
    for i, told in enumerate(
        (
            {"intrinsicMatrix": k.tolist(), "extrinsicMatrix": np.c_[r, t].tolist()},
            {"cameraMatrix": (-p).tolist(), "homography": to_image.tolist()},
            {"cameraMatrix": p.tolist(), "homography": np.linalg.inv(to_image).tolist()},
            {**pairs, "homography": to_image.tolist(), "coordinates": {"x": at[0], "y": at[1]}},
            {
                **pairs,
                "homography": np.linalg.inv(to_image).tolist(),
                "coordinates": {"x": at[0], "y": at[1]},
            },
            {"homography": np.linalg.inv(to_image).tolist(), "coordinates": {"x": at[0], "y": at[1]}},
        )
    ):
        (tmp_path / f"{i}.json").write_text(json.dumps({"sensors": [{"id": "x", **told}]}))
        values, notes = nvidia.read(tmp_path / f"{i}.json")
        found.append(values["cameras"][0])
        assert not any("off its own" in note for note in notes)
    for values in found:
        assert values["position"] == pytest.approx({"x_m": at[0], "y_m": at[1]}, abs=1e-6)
        for point in points:
            assert through(values["homography"], seen(k, r, t, *point)) == pytest.approx(point, abs=1e-5)


def test_geography_by_a_second_writing(tmp_path: Path) -> None:
    """A camera whose homography is to GPS: metres by chords of the ellipsoid agree with ours to millimetres."""
    origin = (42.5, -90.7)

    def chord_m(a: tuple[float, float], b: tuple[float, float]) -> float:
        def xyz(latitude: float, longitude: float) -> np.ndarray:
            phi, lam = math.radians(latitude), math.radians(longitude)
            e2 = 1 - (6356752.314245 / 6378137) ** 2
            n = 6378137 / math.sqrt(1 - e2 * math.sin(phi) ** 2)
            return np.array(
                [
                    n * math.cos(phi) * math.cos(lam),
                    n * math.cos(phi) * math.sin(lam),
                    n * (1 - e2) * math.sin(phi),
                ]
            )

        return float(np.linalg.norm(xyz(*a) - xyz(*b)))

    for x, y in ((80.0, 0.0), (0.0, 80.0), (-60.0, 45.0)):
        latitude, longitude, _ = gps.from_metres(origin) @ [x, y, 1]
        assert chord_m(origin, (latitude, longitude)) == pytest.approx(math.hypot(x, y), abs=2e-3)
        assert (latitude > origin[0]) == (y > 0) or y == 0, "y is north"
        assert (longitude > origin[1]) == (x > 0) or x == 0, "x is east"
    assert np.allclose(gps.to_metres(origin) @ gps.from_metres(origin), np.eye(3), atol=1e-8)
    assert gps.origin_in(gps.with_origin("S01 (origin 1.0, 2.0)", origin)) == origin
    assert gps.origin_in("S01") is None and gps.origin_in("(origin 95.0, 2.0)") is None


@pytest.mark.parametrize("backward", [False, True])
def test_gps_is_metres_and_the_way_back_is_exact(
    files: dict[str, Path], tmp_path: Path, backward: bool
) -> None:
    file = files["aicity"] / "c010" / "calibration.txt"
    rows = HIGHWAY.splitlines()[0].split(":")[1].split(";")
    to_image = np.array([[float(x) for x in row.split()] for row in rows])
    if backward:
        g = np.linalg.inv(to_image)
        file.write_text("Homography matrix: " + ";".join(" ".join(map(repr, row)) for row in g.tolist()))
    values, notes = aicity.read(files["aicity"])
    assert any("against the published form" in note for note in notes) == backward
    assert any("distortion is left out" in note for note in notes) != backward
    origin = gps.origin_in(values["site"]["name"])
    assert origin is not None and values["site"]["name"].startswith("S01 ")
    pixel = (700.0, 650.0)
    latitude, longitude = through(np.linalg.inv(to_image), pixel)
    assert (latitude, longitude) == pytest.approx((45.526, 5.975), abs=1e-3), "the motorway at Chambéry"
    x, y = through(values["cameras"][0]["homography"], pixel)
    assert math.hypot(x, y) < 100, "the origin is where the cameras look"
    north_m, east_m = (
        (latitude - origin[0]) * 111150,
        (longitude - origin[1]) * 111320 * math.cos(math.radians(45.5)),
    )
    assert (x, y) == pytest.approx((east_m, north_m), rel=5e-3, abs=0.05)
    aicity.write(values, tmp_path / "back")
    again = (tmp_path / "back" / "c010" / "calibration.txt").read_text().split(":")[1].split(";")
    written = np.array([[float(x) for x in row.split()] for row in again])
    for at in ((latitude, longitude), (latitude + 1e-4, longitude), (latitude, longitude - 1e-4)):
        assert through(written, at) == pytest.approx(through(to_image, at), abs=1e-3), "px"


def test_scenes_that_are_no_one_site(files: dict[str, Path]) -> None:
    far = files["aicity"] / "c011" / "calibration.txt"
    far.parent.mkdir()
    # github.com/regob/vehicle_mtmc, config/zala/calibration_balaton.txt, rounded: Hungary, where the other is in France.
    far.write_text("Homography matrix: 501.60491498 -178.10915590 -20500.44852701;16.77803243 -14.82817894 -536.42005654;0.02516530275 -0.12944375260 1.0")  # fmt: skip
    with pytest.raises(UserError, match=r"S01: its cameras are up to \d+ km apart"):
        aicity.read(files["aicity"])
    with pytest.raises(UserError, match="name one of its scenes: S01"):
        aicity.read(files["aicity"].parent)


def test_wildtrack_is_in_centimetres_and_multiviewx_in_metres(files: dict[str, Path]) -> None:
    values, notes = wildtrack.read(files["wildtrack"])
    r = cv2.Rodrigues(np.array([1.759099006652832, 0.46710100769996643, -0.331699013710022]))[0]
    at = -r.T @ [-525.8941650390625, 45.40763473510742, 986.7235107421875] / 100
    assert (
        values["cameras"][0]["position"] == pytest.approx({"x_m": at[0], "y_m": at[1]}) and 2.5 < at[2] < 3.5
    )
    assert "centimetres" in notes[0] and "2.9 m high" in notes[0]
    file = files["wildtrack"] / "calibrations" / "extrinsic" / "extr_CVLab1.xml"
    file.write_text(EXTRINSIC.replace("-525.8941650390625 45.40763473510742 986.7235107421875", "-5.258941650390625 0.4540763473510742 9.867235107421875"))  # fmt: skip
    metres, notes = wildtrack.read(files["wildtrack"])
    assert same(metres, values) and "in metres" in notes[0]


@pytest.mark.parametrize("seed", range(20))
def test_a_camera_from_its_homography_and_place(seed: int) -> None:
    """Square pixels come back exactly; others still see the same ground from the same place."""
    for aspect in (1.0, 1.02):
        k, r, t, at = camera(seed, aspect)
        homography = ground.of_projection(k @ np.c_[r, t])
        k2, r2, t2 = ground.camera_above(homography, at[0], at[1])
        assert np.allclose(r2 @ r2.T, np.eye(3)) and np.linalg.det(r2) == pytest.approx(1)
        assert np.allclose((-r2.T @ t2)[:2], at[:2], atol=1e-6)
        for point in on_ground(k, r, t, at):
            assert seen(k2, r2, t2, *point) == pytest.approx(seen(k, r, t, *point), abs=1e-4)
        if aspect == 1.0:
            assert np.allclose(k2, k, rtol=1e-5, atol=1e-2) and np.allclose(r2, r, atol=1e-6)


def test_no_camera_from_straight_above_or_from_elsewhere() -> None:
    above = np.diag([0.01, 0.01, 1.0])
    with pytest.raises(ValueError, match="straight down"):
        ground.camera_above(above, 0, 0)
    k, r, t, at = camera(3)
    homography = ground.of_projection(k @ np.c_[r, t])
    behind = at[:2] + 60 * r[2][:2] / np.linalg.norm(r[2][:2])
    with pytest.raises(ValueError, match="cannot stand"):
        ground.camera_above(homography, *behind)


def test_what_we_write_opencv_reads(files: dict[str, Path], tmp_path: Path) -> None:
    values, _ = wildtrack.read(files["wildtrack"])
    wildtrack.write(values, tmp_path / "out")
    folder = tmp_path / "out" / "calibrations"
    storage = cv2.FileStorage(str(folder / "intrinsic_zero" / "intr_CVLab1.xml"), cv2.FILE_STORAGE_READ)
    assert storage.getNode("camera_matrix").mat().shape == (3, 3)
    assert not storage.getNode("distortion_coefficients").mat().any()
    storage = cv2.FileStorage(str(folder / "extrinsic" / "extr_CVLab1.xml"), cv2.FILE_STORAGE_READ)
    rvec, tvec = (np.array([storage.getNode(key).at(i).real() for i in range(3)]) for key in ("rvec", "tvec"))
    assert (-cv2.Rodrigues(rvec)[0].T @ tvec)[:2] == pytest.approx([909.546, -584.390], abs=1e-2), "in cm"


# NVIDIA's


def test_a_sensor_in_full(files: dict[str, Path], tmp_path: Path) -> None:
    values, notes = nvidia.read(files["nvidia"])
    k, r, t, at = camera(1)
    found = values["cameras"][0]
    assert values["site"] == {"name": "building=Warehouse/room=1"} and found["fps"] == 30
    dock = [seen(k, r, t, *point) for point in on_ground(k, r, t, at)[:3]]
    assert found["zones"][0]["id"] == "dock" and np.allclose(found["zones"][0]["polygon"], dock)
    said = " ".join(notes)
    for word in ("tripwires (1)", "frameWidth", "scaleFactor", "leave nobody out", "no clocks"):
        assert word in said
    everywhere = {
        "id": "all",
        "roiCoordinates": [{"x": x, "y": y} for x, y in ((-99, -99), (99, -99), (0, 99))],
    }
    file = json.loads(files["nvidia"].read_text())
    file["rois"] = [
        {**everywhere, "sensors": ["Camera_01"], "groups": []},
        {**everywhere, "sensors": ["other"]},
    ]
    files["nvidia"].write_text(json.dumps(file))
    values, notes = nvidia.read(files["nvidia"])
    assert len(values["cameras"][0]["zones"]) == 1
    assert sum("roi all is left out, for it reaches behind the camera" in note for note in notes) == 1


def test_geo_is_metres_too(tmp_path: Path) -> None:
    k, r, t, at = camera(5)
    origin = (37.37, -121.96)
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # latitude first → longitude first
    to_lng_lat = swap @ gps.from_metres(origin) @ ground.of_projection(k @ np.c_[r, t])
    latitude, longitude, _ = gps.from_metres(origin) @ [at[0], at[1], 1]
    points = [gps.from_metres(origin) @ [x, y, 1] for x, y in on_ground(k, r, t, at)]
    sensor = {
        "type": "camera", "id": "x", "homography": to_lng_lat.tolist(), "origin": {"lat": 37.37, "lng": -121.96},
        "geoLocation": {"lat": latitude, "lng": longitude}, "coordinates": {"x": 0, "y": 0},
        "imageCoordinates": [dict(zip("xy", seen(k, r, t, *p), strict=True)) for p in on_ground(k, r, t, at)],
        "globalCoordinates": [{"x": p[1], "y": p[0]} for p in points],
    }  # fmt: skip
    (tmp_path / "calibration.json").write_text(json.dumps({"calibrationType": "geo", "sensors": [sensor]}))
    values, _ = nvidia.read(tmp_path)
    found = values["cameras"][0]
    assert found["position"] == pytest.approx({"x_m": at[0], "y_m": at[1]}, abs=1e-6)
    for point, pair in zip(on_ground(k, r, t, at), found["points"], strict=True):
        assert through(found["homography"], seen(k, r, t, *point)) == pytest.approx(point, abs=1e-3)
        assert pair["world"] == pytest.approx(point, abs=1e-6)
    nvidia.write(values, tmp_path / "out.json")
    assert same(nvidia.read(tmp_path / "out.json")[0], values)


def test_unknown_places_are_not_nought(tmp_path: Path) -> None:
    sensors = [{"id": c, "coordinates": {"x": 0, "y": 0}, "attributes": [{"name": "fps"}]} for c in "ab"]
    (tmp_path / "calibration.json").write_text(
        json.dumps({"calibrationType": "cartesian", "sensors": sensors})
    )
    values, notes = nvidia.read(tmp_path)
    assert values["cameras"] == [{"id": "a"}, {"id": "b"}] and "taken for unknown" in notes[-1]
    image = {"calibrationType": "image", "sensors": [{"id": 7, "rois": [{"id": "r", "roiCoordinates": [{"x": x, "y": x * x} for x in range(3)]}]}]}  # fmt: skip
    (tmp_path / "calibration.json").write_text(json.dumps(image))
    values, _ = nvidia.read(tmp_path)
    assert values["cameras"] == [
        {"id": "7", "zones": [{"id": "r", "kind": "both", "polygon": [[0, 0], [1, 1], [2, 4]]}]}
    ]


def test_homography_and_matrix_that_differ_are_told(files: dict[str, Path]) -> None:
    file = json.loads(files["nvidia"].read_text())
    file["sensors"][0]["homography"] = [[1, 0, 500], [0, 1, 90], [0, 0, 1]]
    files["nvidia"].write_text(json.dumps(file))
    assert any("px off its own projection matrix" in note for note in nvidia.read(files["nvidia"])[1])


# From a site file that a person wrote


def test_what_a_format_does_not_hold_is_said(tmp_path: Path) -> None:
    text = """\
version: 1
cameras:
  - {id: a, videos: [a.mp4], clock: {offset_s: 3}, homography: [[0.01, 0, 0], [0, 0.02, 1], [0, 0.001, 1]]}
  - {id: b, fps: 25}
links: [{from: a, to: b, distance_m: 9}]
evaluation: {train_until: 2026-05-01}
"""
    (tmp_path / "site.yaml").write_text(text)
    left = from_site(tmp_path / "site.yaml", "nvidia", tmp_path / "calibration.json")
    said = "; ".join(left)
    for word in (
        "coordinates of a,",
        "coordinates of b,",
        "videos, clock of cameras",
        "links",
        "evaluation",
        "frameWidth",
    ):
        assert word in said, word
    assert not any(word in said for word in ("fps", "homography"))
    values, _ = nvidia.read(tmp_path / "calibration.json")
    assert [set(c) for c in values["cameras"]] == [{"id", "homography"}, {"id", "fps"}]
    for name, sentence in (
        ("aicity", "site.name"),
        ("wildtrack", "no camera has both a homography and a position"),
        ("vehicle_mtmc", "camera 'a' has no fps"),
        ("wildtrak", "Did you mean 'wildtrack'?"),
    ):
        with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
            from_site(tmp_path / "site.yaml", name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_key_of_a_camera_is_held_or_told() -> None:
    """A key that the schema gets must be thought of here: converting must not drop it silently."""
    assert set(Camera.model_fields) == {
        "id", "videos", "filename", "start_time", "clock", "fps", "position", "homography", "points", "roi", "ignore",
        "mask", "min_person_height_px", "zones", "split",
    }  # fmt: skip


def test_the_command(files: dict[str, Path], tmp_path: Path) -> None:
    printed = pipeline("topology", "convert", files["nvidia"]).stdout
    assert list(loaded(printed, tmp_path).cameras) == ["Camera_01"]
    assert pipeline("topology", "convert", files["nvidia"], "--from", "nvidia").stdout == printed
    told = pipeline(
        "topology", "convert", tmp_path / "site.yaml", "--to", "wildtrack", "--out", tmp_path / "w"
    )
    assert "not in" in told.stderr and "zones" in told.stderr and (tmp_path / "w" / "calibrations").is_dir()
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff")
    for words, sentence in (
        ((tmp_path / "photo",), "vehicle_mtmc, nvidia, aicity, wildtrack"),
        ((tmp_path / "site.yaml", "--to", "nvidia"), "--to and --out go together"),
    ):
        wrong = pipeline("topology", "convert", *words, check=False)
        assert wrong.returncode == 2 and sentence in wrong.stderr and wrong.stderr.count("\n") == 1


# Hostile files

SENSOR = '{{"sensors": [{{"id": "x", {} }}]}}'
HOSTILE = [
    ("vehicle_mtmc", "", "is empty"),
    ("vehicle_mtmc", "fps\n10 10\n", "has no offset, compatibility, dtmin, dtmax"),
    ("vehicle_mtmc", LAYOUT.replace("1 0 1\n", "1 0\n"), "compatibility: wants 3 rows of 3"),
    ("vehicle_mtmc", LAYOUT.replace("8.0", "nan"), ":8: fps: wants a finite number (found 'nan')"),
    ("vehicle_mtmc", LAYOUT.replace("8.0", "-8.0"), "cameras[2].fps: input should be greater than"),
    ("vehicle_mtmc", LAYOUT.replace("0.9329", "0"), "scales: wants numbers above 0"),
    ("vehicle_mtmc", LAYOUT.replace("-7 0 4", "-7 0 14"), "dtmin from c002 to c003 (14) is above dtmax (10)"),
    ("vehicle_mtmc", LAYOUT.replace("cam 1: c002", "cam 1: c001"), "camera 'c001' is declared twice"),
    ("vehicle_mtmc", LAYOUT + "fps\n1 1 1\n", "fps: stands here twice"),
    ("vehicle_mtmc", "10 10\n" + LAYOUT, ":1: wants the name of a section"),
    ("nvidia", "", "is empty"),
    ("nvidia", '{"sensors": [{"id": "x"', ":1:24: not valid JSON"),
    ("nvidia", "[" * 100_000, "not valid JSON"),
    ("nvidia", '{"sensors": ' + "9" * 5000 + "}", "not valid JSON"),
    ("nvidia", '{"cameras": []}', "has no list of sensors"),
    ("nvidia", '{"sensors": [{"name": "x"}]}', "sensors[0]: has no id"),
    ("nvidia", '{"sensors": []}', "no sensor that is a camera"),
    ("nvidia", '{"calibrationType": "polar", "sensors": [{"id": "x"}]}', "(found 'polar')"),
    ("nvidia", '{"calibrationType": "geo", "sensors": [{"id": "x"}]}', "geo wants the origin"),
    ("nvidia", SENSOR.format('"homography": [[1, 0], [0, 1]]'), "homography: wants a matrix of 3 rows of 3 numbers (found 2 of 2)"),
    ("nvidia", SENSOR.format('"homography": [[1, 2, 3], [2, 4, 6], [0, 0, 1]]'), "homography: is singular"),
    ("nvidia", SENSOR.format('"homography": [[0, 0, 0], [0, 0, 0], [0, 0, 0]]'), "homography: is singular"),
    ("nvidia", SENSOR.format('"homography": [[NaN, 0, 0], [0, 1, 0], [0, 0, 1]]'), "homography: wants a finite number"),
    ("nvidia", SENSOR.format('"cameraMatrix": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]'), "cameraMatrix: is singular"),
    ("nvidia", SENSOR.format('"coordinates": {"x": "far", "y": 0}'), "coordinates.x: wants a finite number"),
    ("nvidia", SENSOR.format('"coordinates": {"x": 1e20, "y": 0}'), "cameras[0].position.x_m: input should be less"),
    ("nvidia", SENSOR.format('"imageCoordinates": [{"x": 1, "y": 2}]'), "as many imageCoordinates as globalCoordinates"),
    ("nvidia", SENSOR.format('"attributes": [{"name": "fps", "value": "fast"}]'), "attribute fps: wants a finite number"),
    ("nvidia", SENSOR.format('"rois": [{"id": "r", "roiCoordinates": [1]}]'), "at least three points"),
    ("nvidia", '{"sensors": [{"id": "../x"}]}', "wants a name without / \\ and |"),
    ("nvidia", '{"sensors": [{"id": "a\\u202eb"}]}', "characters nobody sees"),
    ("nvidia", '{"sensors": [{"id": "x"}, {"id": "x"}]}', "camera 'x' is declared twice"),
    ("aicity", "", "is empty"),
    ("aicity", "Reprojection error: 2.2\n", "has no line 'Homography matrix"),
    ("aicity", "Homography matrix: 1 2 3;4 5 6\n", "wants a matrix of 3 rows of 3 numbers (found 2 of 3)"),
    ("aicity", "Homography matrix: 1 2 3;2 4 6;0 0 1\n", "is singular"),
    ("aicity", "Homography matrix: 1 0 nan;0 1 0;0 0 1\n", "wants a finite number"),
    ("aicity", "Homography matrix: 1 0 0;0 1 0;0 0 1\n", "leads from the picture to no GPS"),
    ("wildtrack", "", "is empty"),
    ("wildtrack", "<opencv_storage><rvec>1 2", "cannot be read as OpenCV's XML"),
    ("wildtrack", "<opencv_storage></opencv_storage>", "has no <rvec>"),
    ("wildtrack", EXTRINSIC.replace("-0.331699013710022", ""), "rvec: wants 3 numbers (found 2)"),
    ("wildtrack", EXTRINSIC.replace("986.7235107421875", ".Nan"), "tvec: wants a finite number (found '.Nan')"),
    ("wildtrack", '<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage/>', "declares its own entities"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "sentence"), HOSTILE, ids=[f"{n}: {s[:40]}" for n, _, s in HOSTILE])
def test_hostile_files(files: dict[str, Path], name: str, text: str, sentence: str) -> None:
    file = {
        "aicity": files["aicity"] / "c010" / "calibration.txt",
        "wildtrack": files["wildtrack"] / "calibrations" / "extrinsic" / "extr_CVLab1.xml",
    }.get(name, files[name])
    file.write_text(text)
    with pytest.raises(UserError) as error:
        as_site(files[name], name)
    assert str(error.value).startswith(str(file)) and sentence in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("name", FORMATS)
def test_no_file_and_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    for path in (tmp_path / "empty", tmp_path / "nowhere", tmp_path / "bytes"):
        for format_ in (name, ""):
            with pytest.raises(UserError) as error:
                as_site(path, format_)
            assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_missing_or_edge_on_half(files: dict[str, Path]) -> None:
    inner = files["wildtrack"] / "calibrations" / "intrinsic_zero" / "intr_CVLab1.xml"
    inner.write_text(INTRINSIC.replace("1735.1566162109375", "0"))
    with pytest.raises(
        UserError, match=r"intr_CVLab1\.xml: with .*extr_CVLab1\.xml the ground's projection is singular"
    ):
        wildtrack.read(files["wildtrack"])
    inner.unlink()
    with pytest.raises(UserError, match=r"extr_CVLab1\.xml: its camera has no intr_CVLab1\.xml"):
        wildtrack.read(files["wildtrack"])


def test_points_are_as_good_as_a_homography_for_formats_that_hold_no_points(tmp_path: Path) -> None:
    points = [((100, 400), (0, 0)), ((500, 400), (4, 0)), ((400, 200), (4, 9)), ((180, 200), (0, 9))]
    listed = [{"image": list(i), "world": list(w)} for i, w in points]
    file = tmp_path / "site.yaml"
    camera = {"id": "hall", "position": {"x_m": 2.0, "y_m": -6.0}, "points": listed}
    where = {"name": "S01 (origin 42.52568, -90.72360)"}
    file.write_text(yaml.safe_dump({"site": where, "cameras": [camera]}))
    from_site(file, "aicity", tmp_path / "out")
    assert list((tmp_path / "out").rglob("calibration.txt"))


def test_a_site_file_is_told_from_the_formats_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("cameras: [{id: a}]\n")
    with pytest.raises(UserError, match="is a site file already; --to FORMAT"):
        as_site(file)
    file.write_text("cameras: []\n")
    with pytest.raises(UserError, match="there is no camera in it"):
        from_site(file, "vehicle_mtmc", tmp_path / "layout.yaml")
