"""What fuzzing and reading found, each as a plain case of its parser; each was a traceback, a hang or a silent wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from camera_topology import site
from data import pair_annotations
from data.datasets import benchmark
from data.datasets.cvat import read_cvat
from data.datasets.mot import find_mot, read_mot
from data.datasets.truth import read_truth
from data.videos import expand_videos
from pipeline import config, graph
from pipeline.errors import UserError, one_line, shown
from stages.detectors.precomputed import is_precomputed, read_detections
from stages.network import backbone
from stages.search.query import picture_paths
from tests.hostile.cases import ID, MSMT, changed, checkpoint, coco, cvat, jpeg, parquet, png

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = pd.DataFrame({"video_id": [ID], "camera_id": ["cam1"], "path": [f"/v/{ID}.mp4"]})
SECTIONS = {"run": config.RunSettings, **graph.sections("weave")}


def refused(call: Callable[[], Any], *parts: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    said = str(caught.value)
    assert said == one_line(said) and all(part in said for part in parts), said


def written(folder: Path, name: str, data: str | bytes) -> Path:
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder / name


# YAML -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "cameras: &a {id: *a}",
        "a: &a {<<: *a}",
        "version: 0x" + "f" * 9000,  # once read, it cannot be printed
        "cameras:\n- id: 0x" + "f" * 9000,
        "version: " + "1:" * 900 + "1",
        "evaluation: {train_until: 9999-12-31T23:59:59-14:00}",  # past the last day there is, in UTC
        "site: {timezone: Asia/Tokyo}\nevaluation: {train_until: 0001-01-01}",
        "evaluation: {train_until: 2026-01-01T00:00:00+99:00}",
        "cameras: [{id: a, clock: {offset_std_s: .inf}}]",
        "cameras: [{id: a, fps: 5.0e-324}]",
        "cameras: [{id: a}, {id: b}]\nlinks: [{from: a, to: b, distance_m: .inf}]",
        "cameras: [{id: a}, {id: b}]\nlinks: [{from: a, to: b, transit_s: {mean: 1.0e+300, std: 1}}]",
        "site: {walking_speed_m_per_s: {mean: 5.0e-324}}",
        "cameras: [{id: a, position: {x_m: 1.0e+308, y_m: 0}}]",
        f"cameras: [{{id: a, filename: {{regex: '{'(' * 3000}{')' * 3000}(?P<start>.)', strptime: '%Y'}}}}]",
        "a: \x1b[2J",
        "version: !!bool 7",
        "version: !!timestamp abc",
        "version: !!int ''",
        '? "a\nb"\n: 1',
        "x" * 3000 + ": 1",
        "\xa0: &a\n- *a",
    ],
)
def test_site_files(tmp_path: Path, text: str) -> None:
    refused(lambda: site.load(written(tmp_path, "site.yaml", text)), "site.yaml")


@pytest.mark.parametrize("glob", ["/", ".", "", "x" * 5000, '"a\\0b"', "'**a/**b/['", "'**/../**/*'"])
def test_globs_of_cameras_that_are_none(tmp_path: Path, glob: str) -> None:
    path = written(tmp_path, "site.yaml", f"cameras: [{{id: a, videos: [{glob}]}}]")
    assert site.load(path).match_camera(Path("/v/b_x.mp4"))
    refused(lambda: expand_videos(str(path)), "site.yaml")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "movie.yaml").open("wb") as file:
        file.truncate(1 << 40)
    refused(lambda: site.load(tmp_path / "movie.yaml"), "movie.yaml", "larger than")


@pytest.mark.parametrize(
    "text",
    [
        "train: {epochs: 2026-13-45}",
        "train: {epochs: !foo 1}",
        "train: {epochs: {[a]: 1}}",
        "train: {epochs: !!int abc}",
        "train: {epochs: 0x" + "f" * 9000 + "}",
        "train: " + "[" * 5000,
        "? [a]\n: {x: 1}",
        "train: {? [a] : 1}",
        b"train: {epochs: \xff}",
    ],
)
def test_settings(tmp_path: Path, text: str | bytes) -> None:
    path = written(tmp_path, "own.yaml", text)
    refused(lambda: config.load(SECTIONS, path, []), "own.yaml")


@pytest.mark.parametrize(
    "value", ["9" * 5000, "0x" + "f" * 9000, "!!python/name:os.system", "{a: *b}", "\0", "[.nan]"]
)
def test_words(value: str) -> None:
    refused(lambda: config.load(SECTIONS, None, [f"train.epochs={value}"]), "SET=", "train.epochs")


def test_names_too_long_to_be_any() -> None:
    refused(lambda: config.named("x" * 5000), "CONFIG=")
    refused(lambda: expand_videos("x" * 5000), "VIDEOS=")
    refused(lambda: expand_videos("~nobody-at-all/x"), "VIDEOS=")
    refused(lambda: expand_videos("~\0/x"), "VIDEOS=")
    refused(lambda: picture_paths(["x" * 5000]), "no such picture")
    refused(lambda: backbone.build("osnet_x0_25", Path("x" * 5000), 0), "WEIGHTS=")
    assert not is_precomputed("x" * 5000) and not is_precomputed("a\0b")


def test_a_video_of_a_long_name_has_truth_and_detections_looked_for(tmp_path: Path) -> None:
    videos = pd.DataFrame({"video_id": ["y" * 300, "z"], "path": [f"/v/{'x' * 250}.mp4", "/v/z.mp4"]})
    (tmp_path / "z.txt").write_text("1,1,1,1,5,5\n")
    assert set(find_mot(tmp_path, videos)) == {"z"}
    refused(lambda: read_detections(tmp_path, "y" * 300, "x" * 250), "nothing for the video")


# truth and detections ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    ["2147483648,1,1,1,5,5", "1,2147483648,1,1,5,5", "1,1,-1e30,1,2e30,5", "1,1,1e7,1,5,5", "1,1,1,1,5,5\0", "1" * 5000 + ",1,1,1,5,5"],
)  # fmt: skip
def test_mot(tmp_path: Path, line: str) -> None:
    refused(lambda: read_mot(written(tmp_path, "v.txt", line)), "v.txt", "line 1")


@pytest.mark.parametrize("line", ["41.5 1 1 1 1 5 5", "41 1e18 1 1 1 5 5", "41 1 1e18 1 1 5 5", "41 1 1.5 1 1 5 5", "41 1 1 1 1 1e308 5"])  # fmt: skip
def test_ai_city(tmp_path: Path, line: str) -> None:
    refused(lambda: read_truth(written(tmp_path, "city.txt", line), VIDEOS), "city.txt", "line 1")


@pytest.mark.parametrize("encoding", ["shift_jis", "utf-7", "hex", "idna", "rot13"])
def test_encodings_of_xml(tmp_path: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotations/>'
    refused(lambda: read_cvat(written(tmp_path, "v.xml", text)), "v.xml")


@pytest.mark.parametrize(
    "sides", [{"xbr": "inf"}, {"xbr": "1e300"}, {"frame": -5}, {"frame": "9" * 5000}, {"xtl": "x" * 100_000}]
)
def test_cvat(tmp_path: Path, sides: dict[str, object]) -> None:
    refused(lambda: read_cvat(written(tmp_path, "v.xml", cvat(**sides))), "v.xml", "track 1")


def test_entities_of_other_files_are_not_read(tmp_path: Path) -> None:
    secret = written(
        tmp_path, "secret.txt", '<track id="7"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>'
    )
    for head in (
        f'<!DOCTYPE l [<!ENTITY x SYSTEM "file://{secret}">]>',
        f'<!DOCTYPE l [<!ENTITY % x SYSTEM "file://{secret}"> %x;]>',
        f'<!DOCTYPE l SYSTEM "file://{secret}">',
    ):
        text = head + "<annotations>" + ("&x;" if "ENTITY x" in head else "") + "</annotations>"
        try:
            assert read_cvat(written(tmp_path, "v.xml", text)).empty
        except UserError as error:
            assert "undefined entity" in str(error)


@pytest.mark.parametrize("text", ["nan,-1,1,1,5,5", "99999999999,-1,1,1,5,5", "1,-1,0,0,1e308,5", "1\0,\0-\0", "1,-1,1e9,1,5,5"])  # fmt: skip
def test_detections_as_text(tmp_path: Path, text: str) -> None:
    refused(lambda: read_detections(written(tmp_path, "v.txt", text).parent, "v", "v"), "v.txt")


IMAGE, BOX = {"id": 1, "video": "v", "frame": 0}, {"image_id": 1, "bbox": [1, 1, 5, 5]}


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": 5}, {"categories": None}, {"categories": ["x"]}, {"categories": [{"id": [1], "name": "person"}]},
        {"images": 5}, {"images": None}, {"images": [{**IMAGE, "id": [1]}]}, {"images": [{**IMAGE, "frame": float("inf")}]},
        {"images": [{**IMAGE, "frame": None}]}, {"images": [{**IMAGE, "frame": 10**30}]}, {"images": [{**IMAGE, "frame": 1.5}]},
        {"images": [{**IMAGE, "video": "\ud800"}]}, {"images": [{"id": 1, "file_name": "v/" + "9" * 5000 + ".jpg"}]},
        {"images": [{"id": 1, "file_name": "v/" + "9" * 30 + ".jpg"}]},
        {"annotations": None}, {"annotations": {"a": 1}}, {"annotations": [{**BOX, "bbox": [1, 1, 5, 10**400]}]},
        {"annotations": [{**BOX, "bbox": [float("nan")] * 4}]}, {"annotations": [{**BOX, "score": None}]},
        {"annotations": [{**BOX, "image_id": [1]}]},
        {"categories": [{"id": 1, "name": "person"}], "annotations": [{**BOX, "category_id": [1]}]},
    ],
)  # fmt: skip
def test_coco(tmp_path: Path, changes: dict[str, object]) -> None:
    text = coco(**{"images": [IMAGE], "annotations": [BOX], **changes})
    refused(lambda: read_detections(written(tmp_path, "v.json", text).parent, "v", "v"), "v.json")


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.manifests import DETECTIONS

    sound = DETECTIONS.schema.empty_table()
    tables = {
        "metadata that is no text": sound.replace_schema_metadata({b"manifest": b"\xff", b"version": b"1"}),
        "a column of texts": sound.set_column(1, "frame", pa.array([], pa.string())),
        "nested": pa.table({"video_id": [["v"]], "frame": [{"a": 1}]}),
    }
    for name, table in tables.items():
        pq.write_table(table, tmp_path / "v.parquet")
        assert name
        refused(lambda: read_detections(tmp_path, "v", "v"), "v.parquet", "MOT text")
    refused(
        lambda: read_detections(written(tmp_path, "v.parquet", parquet({"a": [1]}, 50)).parent, "v", "v"),
        "v.parquet",
    )


# networks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["backbone", "image_size", "mean", "std", "state_dict"])
@pytest.mark.parametrize(
    "value", [None, "ab", [1], {"a": 1}, [float("nan")] * 3, [0, 0, 0], [-4, 8], [20_000, 20_000]]
)
def test_facts_of_a_checkpoint(tmp_path: Path, key: str, value: Any) -> None:
    path = written(tmp_path, "w.pth", changed(**{key: value}))
    if (key, value) == ("mean", [0, 0, 0]):  # a mean of nought is one
        assert backbone.load(path).mean == (0, 0, 0)
        return
    refused(lambda: backbone.load(path), "w.pth")


def test_state_dicts(tmp_path: Path) -> None:
    import torch

    sound = torch.load(written(tmp_path, "w.pth", checkpoint()), weights_only=True)["state_dict"]
    bare = {k.removeprefix("backbone."): v for k, v in sound.items() if k.startswith("backbone.")}
    first = next(iter(bare))
    for state in (
        {1: torch.zeros(2)}, {b"a": torch.zeros(2)}, {**bare, first: bare[first].to_sparse()}, {**bare, first: bare[first].to("meta")},
        {**bare, first: torch.zeros(1).expand(10**12)}, {**bare, first: torch.full_like(bare[first], float("inf"))},
        {"x" * 500 + str(i): torch.zeros(1) for i in range(500)},
    ):  # fmt: skip
        torch.save(state, tmp_path / "w.pth")
        refused(lambda: backbone.build("osnet_x0_25", tmp_path / "w.pth", 0), "WEIGHTS=", "w.pth")


def test_our_own_network_of_nan_is_warned_of(tmp_path: Path) -> None:
    """Our training can write one (bfloat16 on very small pictures), so a run that has it must still be readable."""
    import torch

    state = torch.load(written(tmp_path, "w.pth", checkpoint()), weights_only=True)["state_dict"]
    first = next(iter(state))
    path = written(
        tmp_path, "w.pth", changed(state_dict={**state, first: torch.full_like(state[first], float("nan"))})
    )
    with pytest.warns(UserWarning, match=r"w\.pth: backbone.* not finite"):
        backbone.load(path)


# pictures and recordings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made", [lambda: jpeg(32_000, 32_000), lambda: png(32_000, 32_000)], ids=["jpeg", "png"]
)
def test_a_picture_of_a_thousand_million_pixels_takes_no_memory(
    tmp_path: Path, made: Callable[[], bytes]
) -> None:
    written(tmp_path, "a.jpg", made())
    code = (
        "import re, sys; from pathlib import Path; from stages.search.query import _decoded\n"
        "try: _decoded(Path(sys.argv[1]))\n"
        "except ValueError as error: print(error)\n"
        # Not ru_maxrss, which a process has from the one that started it.
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.jpg")]
    clean = {k: v for k, v in os.environ.items() if k != "OPENCV_IO_MAX_IMAGE_PIXELS"}
    said = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True).stdout
    reason, megabytes = said.splitlines()
    assert "more pixels" in reason and int(megabytes) < 1000


def test_loops_of_links_end(tmp_path: Path) -> None:
    """Two links to the folder itself: a search that follows them has 2⁴⁰ ways to go."""
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(".")
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    for name in ("x.mp4", "x.jpg", ".hidden.mp4"):
        (tmp_path / name).touch()
    for spec in (str(tmp_path), f"{tmp_path}/**/*.mp4", f"{tmp_path}/**"):
        assert [p.name for p in expand_videos(spec)] == ["x.mp4"]
    path = written(tmp_path, "site.yaml", "cameras: [{id: c, videos: ['**/*.mp4']}]")
    assert [p.name for p in expand_videos(str(path))] == ["x.mp4"]
    assert site.load(path).match_camera(tmp_path / "x.mp4") == "c"
    for word in (str(tmp_path), f"{tmp_path}/**/*.jpg"):
        assert [p.name for p in picture_paths([word])] == ["x.jpg"]


def test_links_out_of_the_folder_are_the_user_s_own(tmp_path: Path) -> None:
    """Footage is often linked together from several disks, so a link is followed wherever it leads."""
    (tmp_path / "disk").mkdir(), (tmp_path / "videos").mkdir()
    (tmp_path / "disk" / "x.mp4").touch()
    (tmp_path / "videos" / "gate").symlink_to(tmp_path / "disk")
    assert [p.name for p in expand_videos(str(tmp_path / "videos"))] == ["x.mp4"]


# answers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["5", "9" * 5000, '{"kind": "link", "a": "\\ud800", "b": "\\ud801", "answer": "same"}',
                                  '{"kind": "link", "a": "a\\u0000", "b": "b", "answer": "same"}'])  # fmt: skip
def test_answers(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, "answers.jsonl", f"{line}\n{{}}\n")
    refused(lambda: pair_annotations.links(path), "answers.jsonl", "line 1")


# published benchmarks ---------------------------------------------------------------------------------------------------

DUKE = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "query/0001_c2_f0046182.jpg",
    "bounding_box_test/0001_c2_f0046182.jpg",
)
MARKET = ("bounding_box_train/0001_c1s1_000001_00.jpg", "query/0002_c1s1_000001_00.jpg", "bounding_box_test/0002_c2s1_000001_00.jpg")  # fmt: skip
CAMPUS = tuple(f"{part}/0001/t1/0001xxC1x00001.jpg" for part in ("train", "query", "gallery"))
PRID = tuple(
    f"multi_shot/cam_{c}/person_{i:04d}/{f:04d}.png" for c in "ab" for i in (1, 2) for f in range(27)
)


def unpacked(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\xff\xd8")
    return root


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("campus4k", (*CAMPUS, "train/abc/t1/0001xxC1x00001.jpg")),
        ("prid2011", (*PRID, "multi_shot/cam_a/person_abc/1.png")),
        ("prid2011", (*PRID, f"multi_shot/cam_a/person_{'9' * 30}/1.png")),
        ("campus4k", (*CAMPUS, "train/0002/caf\udce9/0002xxC1x00001.jpg")),
    ],
)
def test_folders_of_a_benchmark(tmp_path: Path, name: str, files: tuple[str, ...]) -> None:
    refused(lambda: benchmark.read(name, unpacked(tmp_path, *files)), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "files", "strange"),
    [
        ("dukemtmc-reid", DUKE, "query/0001_c9_f0046182.jpg"),
        ("dukemtmc-reid", DUKE, f"query/0001_c1_f{'9' * 60}.jpg"),
        ("market1501", MARKET, "query/0002_c1s99999999999999999_9999999999999999_00.jpg"),
    ],
)
def test_pictures_that_are_none_of_the_benchmark_s(
    tmp_path: Path, name: str, files: tuple[str, ...], strange: str
) -> None:
    found = benchmark.read(name, unpacked(tmp_path, *files, strange))
    assert len(found.images) == 3


@pytest.mark.parametrize("line", ["0000/a_b_c.jpg 99999999999", "0000/a_b_c.jpg " + "9" * 5000, "a\0_b_c 1"])
def test_lines_of_a_benchmark(tmp_path: Path, line: str) -> None:
    for path, data in MSMT.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data if isinstance(data, bytes) else data.encode())
    (tmp_path / "list_val.txt").write_text(line)
    refused(lambda: benchmark.read("msmt17", tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    "values", [[1, 2, 3], [[1, 2, 3]], [[np.nan] * 4], ["abc"], [[1, 10**12, 1, 1]], [[1, 1, 2**40, 1]]]
)
def test_tables_of_a_benchmark(tmp_path: Path, values: list[Any]) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "t.mat", {"track": np.array(values)})
    refused(lambda: benchmark.matlab(tmp_path / "t.mat", "track", "MARS", 4), "t.mat", "copy it again")


@pytest.mark.parametrize(
    ("lines", "query"),
    [("abc\n", [[1]]), ("x/0001_000_01 y\n", [[1]]), ("/etc/pass 1\n", [[1]]), ("../../pass 1\n", [[1]]), ("", [1, 2]), ("", [[b"a"]])],
)  # fmt: skip
def test_lists_of_ls_vid(tmp_path: Path, lines: str, query: list[Any]) -> None:
    h5py = pytest.importorskip("h5py")
    unpacked(tmp_path, "x/0001_000_01_a.jpg", "list_sequence/list_seq_train.txt", "test/data/info_test.mat")
    (tmp_path / "list_sequence" / "list_seq_train.txt").write_text(lines)
    with h5py.File(tmp_path / "test/data/info_test.mat", "w") as file:
        file["query"] = np.array(query)
    refused(lambda: benchmark.read("ls-vid", tmp_path), str(tmp_path))


# messages ---------------------------------------------------------------------------------------------------------------


def test_a_message_is_one_short_line() -> None:
    said = str(UserError("a\nb\x1b[2J\u202e\udce9" + "x" * 5000 + "the end"))
    assert said.startswith("a\\nb\\x1b[2J\\u202e\\udce9") and said.endswith("the end") and len(said) < 900
    assert str(UserError(said)) == said
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep, deep]
    assert len(shown(deep)) < 200 and len(shown(json.loads("[" * 900 + "]" * 900))) < 200
