"""The hostile set: what is wrong, files that are so, the command that meets them, and what its sentence must contain.

`test_messages` runs every case, `table` prints what the user reads.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import itertools
import json
import os
import pickle
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pandas as pd


class Case(NamedTuple):
    """One thing that is wrong.

    name: what, as the table says it.
    make: writes the files into an empty folder, and returns the words for `pipeline.__main__.main`.
    says: parts of the sentence, the file first.
    goes_on: the command ends well, and the sentence is a warning.
    """

    name: str
    make: Callable[[Path], list[str]]
    says: tuple[str, ...]
    goes_on: bool = False


# small files that are right ---------------------------------------------------------------------------------------------


@functools.cache
def film(frames: int = 12, width: int = 64, height: int = 48) -> bytes:
    """A small H.264 file."""
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            picture = av.VideoFrame.from_ndarray(
                np.full((height, width, 3), 10 * n, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return made.getvalue()


BOXES = "".join(f"{n},{{}},10,5,20,40,0.9\n" for n in range(1, 9))
ID = "cam1_20260301T080000Z"


def command(folder: Path, until: str, *more: str, videos: str = "videos", detector: str = "det") -> list[str]:
    """The words of a run of one sound video with finished detections, up to a stage, and more words."""
    for name in ("videos", "det"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "videos" / f"{ID}.mp4").write_bytes(film())
    if not any((folder / "det").iterdir()):
        (folder / "det" / f"{ID}.txt").write_text(BOXES.format(*[-1] * 8))
    words = ["run", "--run", str(folder / "run"), "--videos", str(folder / videos)]
    words += ["--detector", str(folder / detector), "--device", "cpu", "--set", "run.workers=1 run.rounds=0"]
    return [*words, "--until", until, *more]


def png(width: int, height: int) -> bytes:
    """A header of so many pixels, and none of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def jpeg(width: int, height: int) -> bytes:
    """A sound JPEG of 8 x 8 px whose header claims another size."""
    import cv2

    data = bytearray(cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@functools.cache
def checkpoint() -> bytes:
    """One of ours: an OSNet from random weights."""
    from stages.network import backbone

    with tempfile.TemporaryDirectory() as folder:
        backbone.save(backbone.build("osnet_x0_25", "random", 0, (32, 16)), Path(folder) / "w.pth")
        return (Path(folder) / "w.pth").read_bytes()


def changed(**values: Any) -> bytes:
    """Our checkpoint with other values."""
    import torch

    given = torch.load(io.BytesIO(checkpoint()), weights_only=True)
    made = io.BytesIO()
    torch.save({**given, **values}, made)
    return made.getvalue()


def exported(folder: Path) -> Path:
    """A run as far as `embed` and `search` look at it: its network, and a gallery of one tracklet."""
    from pipeline import schema
    from pipeline.manifests import GALLERY
    from stages.search import gallery

    export = folder / "run" / "export"
    export.mkdir(parents=True)
    (export / "model.pt").write_bytes(checkpoint())
    (export / "model_card.json").write_text('{"same_person": {}}')
    row = {"tracklet_id": "t", "camera_id": "c", "t_start_us": 0, "t_end_us": 1, "identity": 0, "confidence": 1.0,
           "shard": "gone.tar", "offset": 0, "size": 1, "row": 0}  # fmt: skip
    table = pd.DataFrame({c.name: pd.Series([row[c.name]]) for c in GALLERY.columns})
    types = {c.name: c.type.to_pandas_dtype() for c in GALLERY.columns if c.name in ("identity", "confidence", "size")}  # fmt: skip
    schema.write(GALLERY, table.astype(types), export / GALLERY.file)
    gallery.write(table, np.eye(1, 512, dtype=np.float32), export)
    return folder / "run"


# wrong in many ways -----------------------------------------------------------------------------------------------------


def bomb(keys: str = "abcdefghij") -> str:
    """Aliases that unfold to nine to the ninth values."""
    lines = [f"{keys[0]}: &{keys[0]} [x, x, x, x, x, x, x, x, x]"]
    for before, key in itertools.pairwise(keys):
        lines.append(f"{key}: &{key} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines) + "\n"


def site(text: str | bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "site.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return command(folder, "ingest", "--topology", str(folder / "site.yaml"))

    return make


def config(text: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "settings.yaml").write_text(text)
        return command(folder, "ingest", "--config", str(folder / "settings.yaml"))

    return make


def word(text: str) -> Callable[[Path], list[str]]:
    return lambda folder: command(folder, "ingest", "--set", text)


def listed(data: bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "list.txt").write_bytes(data)
        return command(folder, "ingest", videos="list.txt")

    return make


def only_video(data: bytes, name: str = "cam1.mp4") -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "other").mkdir()
        Path(os.fsdecode(os.fsencode(folder / "other") + b"/" + os.fsencode(name))).write_bytes(data)
        return command(folder, "ingest", videos="other")

    return make


def broken_beside(folder: Path) -> list[str]:
    words = command(folder, "ingest")
    (folder / "videos" / "cam2_20260301T080000Z.mp4").write_bytes(film()[:300])
    return words


def truth(name: str, data: str | bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "gt").mkdir()
        (folder / "gt" / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        given = folder / "gt" / name if name == "city.txt" else folder / "gt"
        words = followed()
        shutil.copytree(words[words.index("--run") + 1], folder / "run")
        words[words.index("--run") + 1] = str(folder / "run")
        words[words.index("--until") + 1] = "ground_truth"
        return [*words, "--ground-truth", str(given)]

    return make


@functools.cache
def _followed() -> tuple[str, ...]:
    from pipeline.__main__ import main

    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    words = command(folder, "identify")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(words) == 0
    return tuple(words)


def followed() -> list[str]:
    """The words of a run that stands before its ground truth; made once."""
    return list(_followed())


def cvat(inner: str = "", head: str = "", **sides: object) -> str:
    values = {"frame": 0, "xtl": 1, "ytl": 1, "xbr": 9, "ybr": 9, **sides}
    box = " ".join(f'{key}="{value}"' for key, value in values.items())
    return f'{head}<annotations><track id="1">{inner}<box {box}/></track></annotations>'


def detections(name: str, data: str | bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "det").mkdir()
        (folder / "det" / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return command(folder, "detect")

    return make


def coco(**changes: object) -> str:
    image = {"id": 1, "video": ID, "frame": 0}
    box = {"image_id": 1, "bbox": [10, 5, 20, 40], "score": 0.9}
    return json.dumps({"images": [image], "annotations": [box], **changes})


def parquet(table: dict[str, list[Any]], cut: int | None = None) -> bytes:
    made = io.BytesIO()
    pd.DataFrame(table).to_parquet(made)
    return made.getvalue()[:cut]


def weights(data: Callable[[], bytes]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "weights.pth").write_bytes(data())
        return command(
            folder, "identify", "--weights", str(folder / "weights.pth"), "--backbone", "osnet_x0_25"
        )

    return make


class RunsCode:
    """Unpickled by anything but torch's own restricted reader, this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self.path}'",))


def malicious(folder: Path) -> list[str]:
    import torch

    torch.save({"state_dict": {"a": RunsCode(folder / "executed")}}, folder / "weights.pth")
    return command(folder, "identify", "--weights", str(folder / "weights.pth"))


def bare_pickle(folder: Path) -> list[str]:
    (folder / "weights.pth").write_bytes(pickle.dumps(RunsCode(folder / "executed")))
    return command(folder, "identify", "--weights", str(folder / "weights.pth"))


def inflated() -> bytes:
    """Our checkpoint, deflated, with hundreds of megabytes of zeros."""
    made, source = io.BytesIO(), zipfile.ZipFile(io.BytesIO(checkpoint()))
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            zeros = 1 << 28 if name.endswith("data.pkl") else 0
            archive.writestr(name, source.read(name) + b"\0" * zeros)
    return made.getvalue()


def not_finite() -> bytes:
    import torch

    state = torch.load(io.BytesIO(checkpoint()), weights_only=True)["state_dict"]
    bare = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    first = next(iter(bare))
    made = io.BytesIO()
    torch.save({**bare, first: torch.full_like(bare[first], float("nan"))}, made)
    return made.getvalue()


def pictures(action: str, *files: tuple[str, bytes]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        run = exported(folder)
        paths = [os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(name)) for name, _ in files]
        for path, (_, data) in zip(paths, files, strict=True):
            Path(path).write_bytes(data)
        out = ["--out", str(folder / "features.parquet")] if action == "embed" else []
        return [action, *paths, "--run", str(run), "--device", "cpu", *out]

    return make


def damaged_export(name: str, data: bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        run = exported(folder)
        (run / "export" / name).write_bytes(data)
        (folder / "who.jpg").write_bytes(jpeg(8, 8))
        return ["search", str(folder / "who.jpg"), "--run", str(run), "--device", "cpu"]

    return make


def answers(data: bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "run" / "annotations").mkdir(parents=True)
        (folder / "run" / "annotations" / "answers.jsonl").write_bytes(data)
        return ["annotate", "--run", str(folder / "run"), "--export", str(folder / "answers.csv")]

    return make


def unpacked(name: str, files: dict[str, str | bytes]) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        for path, data in files.items():
            (folder / "root" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "root" / path).write_bytes(data if isinstance(data, bytes) else data.encode())
        words = ["run", "--run", str(folder / "run"), "--dataset", name, "--root", str(folder / "root")]
        return [*words, "--device", "cpu", "--until", "dataset"]

    return make


PICTURE = "0000/0000_000_01_0303morning_0008_0.jpg"
LISTS = {f"list_{name}.txt": f"{PICTURE} 0\n" for name in ("train", "val", "query", "gallery")}
MSMT = {f"{folder}/{PICTURE}": b"\xff\xd8" for folder in ("train", "test")} | LISTS
LAUGHS = "".join(
    f'<!ENTITY {b} "' + f"&{a};" * 10 + '">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
LAUGHS = f'<!DOCTYPE l [<!ENTITY a "ha">{LAUGHS}]>'

# the set ----------------------------------------------------------------------------------------------------------------

CASES = (
    # site files
    Case("YAML aliases that unfold to 9⁹ values", site(bomb()), ("site.yaml", "200,000 values")),
    Case("YAML list that holds itself", site("cameras: &a [*a]"), ("site.yaml", "holds itself")),
    Case("YAML nested 100,000 levels deep", site("[" * 100_000), ("site.yaml", "nested")),
    Case("a number of 5,000 digits", site("version: " + "9" * 5000), ("site.yaml:1:10", "5000 digits")),
    Case("a day that is none", site("evaluation: {train_until: 2026-13-45}"), ("site.yaml:1:27", "timestamp")),
    Case("a time in year 1", site("evaluation: {train_until: 0001-01-01}"), ("site.yaml:1:14", "1900")),
    Case("NUL byte in a site file", site("site:\n  name: a\0b"), ("site.yaml:2:10", "U+0000")),
    Case("site file in Latin-1", site(b"site: {name: caf\xe9}"), ("site.yaml", "UTF-8")),
    Case("a Python object in YAML", site("site: !!python/object/apply:os.system [id]"), ("site.yaml:1:7", "tag")),
    Case("one key twice", site("version: 1\nversion: 1"), ("site.yaml:2:1", "twice")),
    Case("an offset of .nan", site("cameras: [{id: a, clock: {offset_s: .nan}}]"), ("site.yaml:1:27", "finite")),
    Case("an offset of 1e300 s", site("cameras: [{id: a, clock: {offset_s: 1.0e+300}}]"), ("site.yaml:1:27", "less")),
    Case("camera id ../../x", site("cameras: [{id: ../../x}]"), ("site.yaml:1:12", "without /")),
    Case("camera id ..", site("cameras: [{id: ..}]"), ("site.yaml:1:12", "means a folder")),
    Case("camera id with a line break", site('cameras: [{id: "a\\nb"}]'), ("site.yaml:1:12", "nobody sees")),
    Case("camera id with NUL", site('cameras: [{id: "a\\0b"}]'), ("site.yaml:1:12", "nobody sees")),
    Case("camera id of 3,000 letters", site(f"cameras: [{{id: {'x' * 3000}}}]"), ("site.yaml:1:12", "100 bytes")),
    Case(
        "a regular expression beyond bounds",
        site("cameras: [{id: a, filename: {regex: '(?P<start>a{99999999999})', strptime: '%Y'}}]"),
        ("site.yaml:1:19", "too large"),
    ),
    Case("a key of 9⁹ values", site(bomb() + "? *j\n: 1\n"), ("site.yaml:10:4", "a key is a word")),
    # settings
    Case("a bomb of aliases as a setting", config("train:\n  epochs: 1\n" + bomb()), ("settings.yaml", "values")),
    Case("a setting that holds itself", config("train: {epochs: &a [*a]}"), ("settings.yaml", "holds itself")),
    Case("a tag of Python in settings", config("train:\n  epochs: !!python/name:os.system x"), ("settings.yaml:2", "tag")),
    Case("SET nested 5,000 levels deep", word("train.epochs=" + "[" * 5000), ("SET=", "train.epochs")),
    Case("SET with a day that is none", word("train.epochs=2026-13-45"), ("SET=", "valid integer")),
    Case("input of 100,000 px", word("run.image_size=[100000,100000]"), ("SET=", "2048")),
    Case("a seed of thirty digits", word("run.seed=" + "9" * 30), ("SET=", "4294967296")),
    # recordings
    Case("a list in Latin-1", listed(b"caf\xe9.mp4"), ("list.txt", "UTF-8")),
    Case("a listed name with NUL", listed(b"a\0b.mp4"), ("list.txt:1", "no such file")),
    Case("a listed name of 5,000 letters", listed(b"x" * 5000), ("list.txt:1", "no such file")),
    Case("a listed home of nobody", listed(b"~nobody-at-all/a.mp4"), ("list.txt:1", "no such file")),
    Case("VIDEOS of 5,000 letters", lambda f: command(f, "ingest", videos="x" * 5000), ("VIDEOS=", "no such file")),
    Case("file name that is no UTF-8", only_video(film(), "caf\udce9.mp4"), ("caf\\udce9.mp4", "rename")),
    Case("random bytes called .mp4", only_video(np.random.default_rng(0).bytes(9999)), ("cam1.mp4", "video player")),
    Case("a video of no bytes", only_video(b""), ("cam1.mp4", "empty file")),
    Case("a playlist that names a server, called .mp4",
         only_video(b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"), ("cam1.mp4", "playlist")),
    Case("a list of files that names itself, called .mp4", only_video(b"ffconcat version 1.0\nfile cam1.mp4\n"),
         ("cam1.mp4", "playlist")),
    Case("one of two videos cut short", broken_beside, ("cam2_20260301T080000Z.mp4", "unreadable"), goes_on=True),
    # ground truth
    Case("MOT frame beyond int32", truth(f"{ID}.txt", "99999999999,1,1,1,5,5"), (f"{ID}.txt: line 1", "2147483647")),
    Case("MOT frame nan", truth(f"{ID}.txt", "nan,1,1,1,5,5"), (f"{ID}.txt: line 1", "finite")),
    Case("MOT width 1e308", truth(f"{ID}.txt", "1,1,0,0,1e308,5"), (f"{ID}.txt: line 1", "million pixels")),
    Case("MOT in UTF-16", truth(f"{ID}.txt", "1,1,1,1,5,5".encode("utf-16")), (f"{ID}.txt", "expected lines")),
    Case("XML: billion laughs", truth(f"{ID}.xml", cvat("&j;", LAUGHS)), (f"{ID}.xml", "amplification")),
    Case(
        "XML: a file of this machine as entity",
        truth(
            f"{ID}.xml",
            cvat(
                '<attribute name="id">&p;</attribute>',
                '<!DOCTYPE l [<!ENTITY p SYSTEM "file:///etc/passwd">]>',
            ),
        ),
        (f"{ID}.xml", "undefined entity"),
    ),
    Case("XML of an unknown encoding", truth(f"{ID}.xml", '<?xml version="1.0" encoding="foo"?><a/>'), (f"{ID}.xml", "encoding")),
    Case("XML cut short", truth(f"{ID}.xml", cvat()[:40]), (f"{ID}.xml", "export it anew")),
    Case("XML that is a web page", truth(f"{ID}.xml", "<html></html>"), (f"{ID}.xml", "annotations")),
    Case("CVAT side nan", truth(f"{ID}.xml", cvat(xtl="nan")), (f"{ID}.xml: track 1, frame 0", "mend it")),
    Case("CVAT frame beyond int32", truth(f"{ID}.xml", cvat(frame=10**12)), (f"{ID}.xml: track 1", "mend it")),
    Case("AI City camera 1e300", truth("city.txt", "1e300 1 1 1 1 5 5"), ("city.txt: line 1", "camera id frame")),
    Case("AI City, a byte that is no UTF-8 far below",
         truth("city.txt", b"1 1 1 1 1 5 5\n" * 9999 + b"\xe9"), ("city.txt", "expected lines")),
    # finished detections
    Case("detections: frame inf", detections(f"{ID}.txt", "inf,-1,1,1,5,5"), (f"{ID}.txt, line 1", "whole frames")),
    Case("detections: garbage", detections(f"{ID}.txt", "1,-1,1,1,5,5\0"), (f"{ID}.txt, line 1", "not numbers")),
    Case("COCO nested 100,000 levels deep", detections("all.json", "[" * 100_000), ("all.json", "JSON")),
    Case("COCO number of 5,000 digits", detections("all.json", '{"a": ' + "9" * 5000 + "}"), ("all.json", "JSON")),
    Case("COCO images that are words", detections("all.json", coco(images=["x"])), ("all.json", "'images'")),
    Case("COCO box as text", detections("all.json", coco(annotations=[{"image_id": 1, "bbox": "1234"}])), ("all.json", "bbox")),
    Case("COCO frame -5", detections("all.json", coco(images=[{"id": 1, "video": ID, "frame": -5}])), ("all.json", "frame")),
    Case("Parquet cut short", detections(f"{ID}.parquet", parquet({"a": [1]}, 100)), (f"{ID}.parquet", "MOT text")),
    Case("Parquet of other columns", detections(f"{ID}.parquet", parquet({"a": [[1]]})), (f"{ID}.parquet", "MOT text")),
    # networks
    Case("WEIGHTS that run a program when unpickled", malicious, ("weights.pth", "posix.system")),
    Case("WEIGHTS that are a bare pickle of code", bare_pickle, ("weights.pth", "no tensors")),
    Case("WEIGHTS cut short", weights(lambda: checkpoint()[:500_000]), ("weights.pth", "zip archive")),
    Case("WEIGHTS that unpack to 256 MB of zeros", weights(inflated), ("weights.pth", "unpack")),
    Case("WEIGHTS for pictures of 10⁷ px", weights(lambda: changed(image_size=[10**7] * 2)), ("weights.pth", "image_size")),
    Case("WEIGHTS without their normalisation", weights(lambda: changed(mean=None)), ("weights.pth", "mean")),
    Case("WEIGHTS of NaN", weights(not_finite), ("weights.pth", "not finite")),
    Case("WEIGHTS that are a recording", weights(film), ("weights.pth", "torch.save")),
    # pictures
    Case("JPEG whose header says 65,500 × 65,500", pictures("search", ("a.jpg", jpeg(65500, 65500))), ("a.jpg", "JPEG or PNG")),
    Case("PNG whose header says 65,535 × 65,535", pictures("search", ("a.png", png(65535, 65535))), ("a.png", "JPEG or PNG")),
    Case("a picture of no bytes", pictures("search", ("a.jpg", b"")), ("a.jpg", "JPEG or PNG")),
    Case("a picture cut short", pictures("search", ("a.jpg", jpeg(8, 8)[:60])), ("a.jpg", "JPEG or PNG")),
    Case("one of two pictures is none", pictures("embed", ("a.jpg", jpeg(8, 8)), ("b.jpg", b"no")), ("b.jpg", "left out"), goes_on=True),
    Case("picture name that is no UTF-8", pictures("search", ("\udce9.jpg", jpeg(8, 8))), ("\\udce9.jpg", "rename")),
    Case("a model card cut short", damaged_export("model_card.json", b'{"same'), ("model_card.json", "make export")),
    Case("a gallery that is none", damaged_export("gallery.faiss", b"no index"), ("gallery.parquet", "make export")),
    # answers
    Case("an answer nested 100,000 levels deep", answers(b"[" * 100_000 + b"\n{}\n"), ("answers.jsonl: line 1", "delete")),
    Case("an answer that is binary", answers(b"\xff\xfe\0\n{}\n"), ("answers.jsonl: line 1", "delete")),
    # published benchmarks
    Case("a benchmark's list that names ../../", unpacked("msmt17", MSMT | {"list_val.txt": "../../a_b_c.jpg 1"}), ("list_val.txt", "outside of")),
    Case("a benchmark's list that names /etc", unpacked("msmt17", MSMT | {"list_val.txt": "/etc/a_b_c.jpg 1"}), ("list_val.txt", "outside of")),
    Case("a benchmark's MATLAB file of garbage",
         unpacked("mars", {"info/tracks_train_info.mat": b"garbage" * 99}), ("tracks_train_info.mat", "copy it again")),
    Case("a benchmark's folder that is a file",
         unpacked("market1501", {"bounding_box_train": b""}), ("bounding_box_train", "a folder is wanted")),
)  # fmt: skip
