from datetime import UTC, datetime
from pathlib import PurePath

import pytest

from camera_topology.file_times import NamePattern, built_in, check, guess_start, read_start


def utc(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3]


@pytest.mark.parametrize(
    "name, pattern, camera, start",
    [
        ("2026-05-01/08/gate/15.30.mp4", "frigate", "gate", "2026-05-01T08:15:30.000"),
        ("cam1_20260501T080000Z.mp4", "iso", "cam1", "2026-05-01T08:00:00.000"),
        ("a/gate_2026-05-01T08:15:30.250+02:00.mp4", "iso", "gate", "2026-05-01T06:15:30.250"),
        ("a/gate 2026-05-01 08-15-30.mp4", "iso", "gate", "2026-05-01T08:15:30.000"),
        ("x_2019-08-13_103035.mp4", "iso", "x", "2019-08-13T10:30:35.000"),
        ("hall_00_20231023185959.mp4", "reolink", "hall", "2023-10-23T18:59:59.000"),
        ("10.0.0.64_01_20231023185959123_T.mp4", "hikvision", "10.0.0.64_01", "2023-10-23T18:59:59.123"),
        ("2023-10-23/001/dav/18/18.59.59-19.00.29[M][0@0][0].mp4", "dahua", "001", "2023-10-23T18:59:59.000"),
    ],
)
def test_built_in_patterns(name: str, pattern: str, camera: str, start: str) -> None:
    found = guess_start(PurePath("/recordings") / name)
    assert found is not None
    assert (found.pattern, found.camera, utc(found.start_us)) == (pattern, camera, start)
    assert read_start(PurePath(name), built_in(pattern)) == found


@pytest.mark.parametrize(
    "name", ["vtest.mp4", "Double1.mp4", "IMG_99999999_999999.mp4", "a_20260230T080000.mp4"]
)
def test_names_without_a_time(name: str) -> None:
    assert guess_start(PurePath(name)) is None


def test_local_times_follow_summer_time() -> None:
    winter = guess_start(PurePath("a_20260115T120000.mp4"), "Europe/Berlin")
    summer = guess_start(PurePath("a_20260715T120000.mp4"), "Europe/Berlin")
    assert winter and summer
    assert utc(winter.start_us).endswith("11:00:00.000") and utc(summer.start_us).endswith("10:00:00.000")
    # Frigate writes UTC wherever it stands.
    frigate = guess_start(PurePath("2026-07-15/12/gate/00.00.mp4"), "Europe/Berlin")
    assert frigate and utc(frigate.start_us).endswith("12:00:00.000")


def test_own_pattern() -> None:
    own = NamePattern("site file", r"_(?P<start>\d{8}T\d{6}Z)\.mp4$", "%Y%m%dT%H%M%SZ", "Europe/Berlin")
    check(own)
    found = read_start(PurePath("cam1_20260501T080000Z.mp4"), own)
    assert found and utc(found.start_us) == "2026-05-01T08:00:00.000", "a literal Z means UTC"
    local = NamePattern("site file", r"(?P<start>\d{6}-\d{4})", "%d%m%y-%H%M", "America/New_York")
    found = read_start(PurePath("010526-0800.mp4"), local)
    assert found and utc(found.start_us) == "2026-05-01T12:00:00.000"


@pytest.mark.parametrize("regex, strptime", [("(?P<start>x", "%Y"), (r"(?P<start>\d+)", ""), (r"\d+", "%Y")])
def test_patterns_that_cannot_work(regex: str, strptime: str) -> None:
    with pytest.raises(ValueError):
        check(NamePattern("site file", regex, strptime))
