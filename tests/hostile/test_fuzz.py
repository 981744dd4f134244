"""Parsers on random and on broken input: what comes back is sound, or one clear sentence; nothing else, and soon.

``FUZZ=5000 pytest tests/hostile/test_fuzz.py`` looks harder; what it found before is in `cases` and in `test_found`.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from camera_topology import site
from data import pair_annotations
from data.datasets.cvat import read_cvat
from data.datasets.mot import LARGEST, read_mot
from data.datasets.truth import read_truth
from data.video import UnreadableVideo, probe
from data.videos import expand_videos
from pipeline import config, graph, schema, yaml_text
from pipeline.errors import UserError, one_line
from pipeline.manifests import DETECTIONS
from stages.detectors.precomputed import read_detections
from stages.network import backbone
from stages.search.query import _decoded
from tests.camera_topology.test_site import GOOD
from tests.hostile.cases import ID, checkpoint, coco, cvat, film, jpeg

COUNT = int(os.environ.get("FUZZ", 50))
fuzz = settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

VIDEOS = pd.DataFrame({"video_id": [ID], "camera_id": ["cam1"], "path": [f"/v/{ID}.mp4"]})
SECTIONS = {"run": config.RunSettings, **graph.sections("weave")}

# What breaks parsers, to be put anywhere.
TOKENS = (
    b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\r", b"\n\n", b"\x0c", b"\xc2\x85", b"\xef\xbb\xbf", b"nan", b"inf",
    b"-1", b"1e400", b"1e308", b"99999999999", b"0x" + b"f" * 200, b"9" * 5000, b"[" * 400, b"{" * 400, b"&a ", b"*a", b"<<: ",
    b"!!bool ", b"!!timestamp ", b"!!python/name:os.system ", b"? ", b"%YAML 9\n", b"---\n", b": ", b'"', b"'", b"\xe2\x80\xa8",
    b"\\ud800", b"null", b"true", b"../../", b"<", b"&x;", b"]]>", b"\t", b"1:1:1:1", b"2026-13-45", b"0001-01-01",
)  # fmt: skip


@st.composite
def broken(draw: st.DrawFn, *sound: bytes) -> bytes:
    """A sound file with a few bytes changed, cut, repeated or put in; now and then anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        a = draw(st.integers(0, len(data)))
        b = min(a + draw(st.integers(0, 30)), len(data))
        kind = draw(st.sampled_from(("token", "token", "bytes", "drop", "repeat", "cut")))
        if kind == "token":
            data[a:b] = draw(st.sampled_from(TOKENS))
        elif kind == "bytes":
            data[a:b] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "drop":
            del data[a:b]
        elif kind == "repeat":
            data[a:a] = data[a:b] * draw(st.integers(1, 5))
        else:
            del data[a:]
    return bytes(data)


def attempt(
    name: str, data: bytes, read: Callable[[Path], Any], ends: tuple[type[Exception], ...] = (UserError,)
) -> Any:
    """What a reader makes of a file, None where it says one line; anything else is the defect that is looked for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            return read(path)
        except ends as error:
            said = str(error)
            assert (one_line(said) == said and len(said) > 10) or not isinstance(error, UserError)
            return None


def sound_boxes(table: pd.DataFrame) -> None:
    assert table.frame.between(0, LARGEST).all()
    values = table[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    assert np.isfinite(values).all() and (np.abs(values) <= 1e6 + 1).all()


@fuzz
@given(broken(GOOD.encode(), b"cameras:\n- id: a\n  videos: [x/*.mp4]\nlinks: []\n"))
def test_site_files(data: bytes) -> None:
    def read(path: Path) -> None:
        found = site.load(path)
        cut = found.cut()
        assert cut is None or all(abs(t) < 2**62 for t in cut)
        json.dumps([found.clock_view(), found.prior_view(), found.map_view()], allow_nan=False)
        found.match_camera(Path("/v/gate_20260501T080000Z.mp4"))

    attempt("site.yaml", data, read)
    attempt("site.yaml", data, lambda path: expand_videos(str(path)))


@fuzz
@given(broken(b"run:\n  seed: 3\n  image_size: [32, 16]\ntrain: {epochs: 2, color_jitter: 0.1}\ntrack:\n"))
def test_settings(data: bytes) -> None:
    attempt("settings.yaml", data, lambda path: config.load(SECTIONS, path, []))


@fuzz
@given(st.one_of(st.text(max_size=60), st.sampled_from(TOKENS).map(lambda t: t.decode("latin-1"))))
@example("2026-13-45")
@example("[" * 400)
@example("&a [*a]")
def test_words_of_set(text: str) -> None:
    yaml_text.word(text)
    for key in ("train.epochs=", "run.image_size=", ""):
        try:
            config.load(SECTIONS, None, config.split_sets(key + text))
        except UserError as error:
            assert one_line(str(error)) == str(error)


@fuzz
@given(
    broken(b"1,1,10,20,30,40,1,1,0.5\n2,1,11,20,30,40\n\n2,-1,0,0,0,0,0\n", b"\xef\xbb\xbf1,2,3,4,5,6\r\n")
)
def test_mot(data: bytes) -> None:
    table = attempt("v.txt", data, read_mot)
    if table is not None:
        sound_boxes(table[table.flag])
        assert table.id.between(-1, LARGEST).all() and table.visibility.between(0, 1).all()


@fuzz
@given(broken(b"1 7 1 10 20 30 40 0 0\n1 8 1 10 20 30 40 0 0\n1 7 2 10 20 30 40 0 0\n"))
def test_ai_city(data: bytes) -> None:
    found = attempt("city.txt", data, lambda path: read_truth(path, VIDEOS))
    for one in (found or {}).values():
        sound_boxes(one.rows[one.rows.flag])


@fuzz
@given(broken(cvat().encode(), cvat('<attribute name="id">4</attribute>', '<?xml version="1.0"?>').encode()))
def test_cvat(data: bytes) -> None:
    table = attempt("v.xml", data, read_cvat)
    if table is not None:
        sound_boxes(table)


@fuzz
@given(broken(b"1,-1,10,5,20,40,0.9\n2,-1,10,5,20,40,0.9\n", b"frame,id,x,y,w,h\n1;1;10;5;20;40\n"))
def test_detections_as_text(data: bytes) -> None:
    table = attempt(f"{ID}.txt", data, lambda path: read_detections(path, ID, ID))
    if table is not None:
        sound_boxes(table)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(("", "person", ID, "1.jpg", "a/000001.jpg", "\ud800", "\0")),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(
        st.sampled_from(("id", "image_id", "bbox", "video", "frame", "file_name", "score", "name", "category_id")),
        below, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@fuzz
@given(st.dictionaries(st.sampled_from(("images", "annotations", "categories")), VALUES))
def test_coco_of_any_shape(content: dict[str, Any]) -> None:
    data = json.dumps({"images": [], "annotations": [], **content}).encode()
    table = attempt("all.json", data, lambda path: read_detections(path, ID, ID))
    assert table is None or table.empty or sound_boxes(table) is None


@fuzz
@given(broken(coco().encode(), coco(categories=[{"id": 1, "name": "person"}]).encode()))
def test_coco_broken(data: bytes) -> None:
    table = attempt(f"{ID}.json", data, lambda path: read_detections(path, ID, ID))
    if table is not None:
        sound_boxes(table)


def parquet() -> bytes:
    rows = {"video_id": ID, "frame": [0, 1], "t_utc_us": [0, 1], "x1": 1, "y1": 1, "x2": 5, "y2": 9, "score": 0.5, "detection": 0}  # fmt: skip
    types = {c.name: c.type.to_pandas_dtype() for c in DETECTIONS.columns if c.name != "video_id"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        schema.write(DETECTIONS, pd.DataFrame(rows).astype(types)[list(rows)], path)
        return path.read_bytes()


@fuzz
@given(broken(parquet()))
def test_parquet(data: bytes) -> None:
    table = attempt(f"{ID}.parquet", data, lambda path: read_detections(path, ID, ID))
    if table is not None:
        sound_boxes(table)


@fuzz
@given(broken(b"# mine\na.mp4\n/etc/passwd\n~/b.mp4\n~nobody-at-all/c.mp4\n../d.mp4\n"))
def test_lists(data: bytes) -> None:
    found = attempt("list.txt", data, lambda path: expand_videos(str(path)))
    assert found is None or all(path.is_file() for path in found)


ANSWER = b'{"at": "2026", "kind": "link", "a": "x", "b": "y", "answer": "same"}\n'


@fuzz
@given(broken(ANSWER * 2, ANSWER + b'{"at": "2026", "undo": true}\n' + ANSWER))
def test_answers(data: bytes) -> None:
    for a, b, same in attempt("answers.jsonl", data, pair_annotations.links) or []:
        assert a < b and isinstance(same, bool)
        (a + b).encode()


@settings(fuzz, max_examples=max(COUNT // 3, 10))
@given(broken(checkpoint()))
def test_checkpoints(data: bytes) -> None:
    attempt("weights.pth", data, lambda path: backbone.build("osnet_x0_25", path, 0, (32, 16)))


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    import torch

    return dict(torch.load(io.BytesIO(checkpoint()), weights_only=True))


@fuzz
@given(key=st.sampled_from(("format", "backbone", "image_size", "mean", "std", "state_dict")), value=VALUES)
def test_facts_of_checkpoints(facts: dict[str, Any], key: str, value: Any) -> None:
    import torch

    made = io.BytesIO()
    try:
        torch.save({**facts, key: value}, made)
    except UnicodeEncodeError:
        return  # a lone surrogate cannot be written at all
    attempt("weights.pth", made.getvalue(), lambda path: backbone.build("osnet_x0_25", path, 0, (32, 16)))


@fuzz
@given(broken(jpeg(8, 8)))
def test_pictures(data: bytes) -> None:
    image = attempt("a.jpg", data, _decoded, (ValueError,))
    assert image is None or (image.ndim == 3 and image.shape[2] == 3)


@fuzz
@given(broken(film()))
def test_recordings(data: bytes) -> None:
    found = attempt("a.mp4", data, probe, (UnreadableVideo,))
    assert found is None or (found.frames > 0 and found.duration_s >= 0)
