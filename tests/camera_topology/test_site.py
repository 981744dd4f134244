import json
import re
from pathlib import Path

import pytest

from camera_topology import site_schema
from camera_topology.site import load, without_file
from pipeline.errors import UserError

GOOD = """\
version: 1
site:
  timezone: Europe/Berlin
  walking_speed_m_per_s: {mean: 1.25, max: 2.5}
cameras:
  - id: gate
    videos: ["gate/*.mp4"]
    filename: reolink
  - id: hall
    clock: {offset_s: -4.7, offset_std_s: 0.5}
    split: test
  - id: 3
links:
  - {from: gate, to: hall, distance_m: 42}
  - {from: hall, to: 3, relation: reachable, bidirectional: false, transit_s: {mean: 30, std: 10}}
evaluation: {train_until: 2026-05-01 12:00:00}
"""
EXAMPLES = Path(__file__).parents[2] / "camera_topology" / "examples"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(GOOD)
    return path


def test_what_it_says(file: Path) -> None:
    site = load(file)
    assert list(site.cameras) == ["gate", "hall", "3"]
    assert site.relation("gate", "hall") == site.relation("hall", "gate") == "adjacent"
    assert site.distance_m("hall", "gate") == 42
    assert site.relation("hall", "3") == "reachable" and site.relation("3", "hall") == "unlisted"
    assert site.relation("gate", "nobody knows") == "unlisted"
    assert site.cut() == (1777629600000000,) * 2, "12:00 in Berlin in May is 10:00 UTC"
    assert site.unused == ["line 11: cameras[1].split is valid but not used yet."]
    json.dumps([site.clock_view(), site.prior_view(), site.map_view()])


def test_a_link_changes_the_prior_view_only_and_a_clock_the_clock_view(file: Path) -> None:
    before = load(file)
    file.write_text(GOOD.replace("distance_m: 42", "distance_m: 43"))
    after = load(file)
    assert after.clock_view() == before.clock_view() and after.prior_view() != before.prior_view()
    file.write_text(GOOD.replace("offset_s: -4.7", "offset_s: -4.8"))
    after = load(file)
    assert after.clock_view() != before.clock_view() and after.prior_view() == before.prior_view()


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("to: hall", "to: hal", ":14:18: links[0].to: there is no camera 'hal'. Did you mean 'hall'?"),
        ("timezone:", "timezon:", ":3:3: site.timezon: unknown key 'timezon'. Did you mean 'timezone'?"),
        (
            "offset_s:",
            "ofset_s:",
            ":10:13: cameras[1].clock.ofset_s: unknown key 'ofset_s'. Did you mean 'offset_s'?",
        ),
        (
            "distance_m: 42",
            "distance_m: -1",
            ":14:28: links[0].distance_m: input should be greater than 0 (found -1)",
        ),
        ("Europe/Berlin", "Utopia", ":3:3: site.timezone: 'Utopia' is no time zone"),
        (
            "filename: reolink",
            "filename: frigat",
            ":8:5: cameras[0].filename: no built-in pattern is called 'frigat'",
        ),
        ("mean: 30, std: 10", "mean: 30", ":15:68: links[1].transit_s: wants {mean, std} or"),
        ("id: hall", "id: gate", ":9:5: cameras[1].id: camera 'gate' is declared twice"),
        ("- id: 3", "- ids: 3", ":12:5: cameras[2].ids: unknown key 'ids'. Did you mean 'id'?"),
        ("2026-05-01 12:00:00", "noon", ":16:14: evaluation.train_until: wants a time such as"),
        ("max: 2.5", "max: 1.0", ":4:3: site.walking_speed_m_per_s: max 1.0 m/s is below mean 1.25 m/s"),
        ("version: 1", "version: 1\nversion: 1", ":2:1: version: stands here twice, first in line 1"),
        ('["gate/*.mp4"]', '["gate/*.mp4"', "not valid YAML"),
        ("version: 1", "version: 9", ":1:1: version: input should be 1 (found 9)"),
    ],
)
def test_errors_name_file_line_column_and_key(file: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}:") and expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n", "cameras: a\n", "just words\n", "? [a, b]\n: 1\n", "\x00"])
def test_files_that_are_no_site(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(UserError):
        load(tmp_path / "site.yaml")
    with pytest.raises(UserError):
        load(tmp_path / "absent.yaml")


def test_an_empty_file_says_nothing_and_is_fine(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("")
    assert load(tmp_path / "site.yaml").cameras == {}


@pytest.mark.parametrize(
    "path, root, camera",
    [
        ("/x/gate/20260501T080000.mp4", "/x", "gate"),
        ("/x/gate/2026-05-01/clip.mp4", "/x", "gate"),
        ("/x/2026-05-01/08/gate/15.30.mp4", "/x", "gate"),
        ("/x/cam1_20260501T080000Z.mp4", "/x", "cam1"),
        ("/x/gate/20260501T080000.mp4", "/x/gate", "gate"),  # only one folder of recordings
        ("/x/Double1.mp4", "/x", "Double1"),
        ("/x/cam1-source.webm", "/x", "cam1-source"),
    ],
)
def test_cameras_without_a_site_file(path: str, root: str, camera: str) -> None:
    assert without_file([]).match_camera(Path(path), Path(root)) == camera


def test_declared_cameras_are_found_by_glob_folder_and_name(file: Path, tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    inside = tmp_path / "gate" / "hall_1.mp4"
    inside.touch()
    site = load(file)
    assert site.match_camera(inside) == "gate", "the glob goes before the name"
    assert site.match_camera(Path("/copied/gate/hall_1.mp4")) == "gate"
    assert site.match_camera(Path("/x/hall/clip.mkv")) == "hall"
    assert site.match_camera(Path("/x/hall_20260501T080000.mkv")) == "hall"
    assert site.match_camera(Path("/x/hallway_20260501T080000.mkv")) == "hallway"
    file.write_text(GOOD.replace("  - id: hall", "  - id: hall\n    videos: gate/hall*.mp4"))
    with pytest.raises(UserError, match="two cameras, gate and hall"):
        load(file).match_camera(inside)


def test_one_example_has_every_key_that_decides_something() -> None:
    def keys(model) -> set[str]:
        found = set()
        for name, info in model.model_fields.items():
            found.add(info.alias or name)
            for inner in re.findall(r"camera_topology\.site_schema\.(\w+)", str(info.annotation)):
                found |= keys(getattr(site_schema, inner))
        return found

    text = (EXAMPLES / "all_keys.yaml").read_text(encoding="utf-8")
    unused = {keys[-1] for keys in site_schema.UNUSED}
    missing = {k for k in keys(site_schema.SiteFile) if not re.search(rf"\b{k}\b", text)}
    assert missing - unused - {"built_in", "image", "metres_per_pixel"} == set()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_load_without_a_warning(path: Path) -> None:
    assert load(path).unused == []


@pytest.mark.footage
def test_market_site(footage: Path) -> None:
    site = load(footage / "market-site" / "site.yaml")
    video = footage / "market-site" / "cam3_20260501T140000Z.mp4"
    assert site.match_camera(video) == "cam3"
    named = site.named_start(video, "cam3")
    assert named is not None and named.start_us == 1777644000000000
    assert site.cut() == (1777636800000000,) * 2
