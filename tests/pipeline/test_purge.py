"""What `make purge` takes away, that it stays away, and that everything else comes back as it was."""

import io
import json
import os
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data import redaction, redaction_list
from data.video import read_frames
from pipeline import purge
from pipeline.__main__ import main
from pipeline.errors import UserError
from tests.tiny_site import colours_of

LIGHT = "export.formats=[]"  # which take longer than all else
GONE = (3, 8)  # true people: one of the time before the cut, one after it


def command(run, *numbers):
    purge.purge(run, [str(n) for n in numbers])


def numbers_of(run, pids):
    """The identities of true people: 1 to 3 walk in the first recording, 7 to 9 in the second, one every four seconds."""
    identity = pd.read_csv(run / "identify" / "identities.csv").set_index("tracklet").identity
    return [int(identity[f"east_20260301T0{8 + pid // 7}000{(pid - 1) % 6 * 4}800_0"]) for pid in pids]


def outputs(run):
    return {str(p.relative_to(run)): json.loads(p.read_text())["outputs"] for p in run.rglob("receipt.json")}


KNOWN = {
    ".json",
    ".csv",
    ".txt",
    ".md",
    ".onnx",
    ".xml",
    ".bin",
    ".yaml",
    ".parquet",
    ".npy",
    ".pt",
    ".jsonl",
}
NAMES = {".done", ".lock"}
PICTURES = {
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "a JPEG", b"\x89PNG\r\n": "a PNG", b"WEBPVP8": "a WebP", b"ftypisom": "an MP4",
    b"data:image": "a picture in text", b"/9j/4": "a JPEG in base64", b"iVBORw0KG": "a PNG in base64",
}  # fmt: skip


def showing_people(run):
    """What shows or describes people, and whatever this test knows nothing about, in a run's folder."""
    found = []
    for path in sorted(p for p in run.rglob("*") if p.is_file()):
        name, data = str(path.relative_to(run)), path.read_bytes()
        found += [f"{name}: {what}" for mark, what in PICTURES.items() if mark in data]
        if path.suffix not in KNOWN and path.name not in NAMES:
            found.append(
                f"{name}: of a kind this test does not know; is it a picture or a feature of people?"
            )
        if path.suffix == ".pt" and path.name != "model.pt":
            found.append(f"{name}: tensors that are no network")
        if path.suffix == ".npy" and np.load(path).ndim > 1:
            found.append(f"{name}: a matrix")
        if path.suffix == ".parquet" and len(table := pq.read_table(path)):
            kinds = {str(field.type) for field in table.schema}
            found += [
                f"{name}: a column of {k}" for k in kinds if "list" in k or "binary" in k or "struct" in k
            ]
    return found


def filled(run):
    """Everything that holds people and that the tiny run does not come by."""
    assert main(["zip", "--run", str(run)]) == 0
    for place in (
        "search/who.jpg",
        "shard_cache/training/abc.pt",
        ".scratch/crop/crops.tar",
        "report.old/index.html",
        "export.old/gallery.faiss",
        "shard_cache/crop/abc.part/crops.tar",
        "features/abc.1.part",
    ):
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        (run / place).write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")


@pytest.mark.slow
def test_nothing_that_shows_people_is_left_and_all_comes_back(run, capsys, tmp_path):
    assert main(["run", "--run", str(run), "--set", LIGHT, "--until", "export"]) == 0
    before = outputs(run)
    assert any("a JPEG" in line for line in showing_people(run))
    filled(run)
    outside = tmp_path / "outside.npy"
    outside.write_bytes(b"somebody else's")
    (run / "features" / "link.npy").symlink_to(outside)
    command(run)
    assert showing_people(run) == []
    assert (
        outside.exists()
        and (run / "evaluate" / "metrics.json").is_file()
        and (run / "export" / "model.pt").is_file()
    )
    said = capsys.readouterr().out
    for kind in purge.PLACES:
        assert f"\n  {kind} " in said, kind
    assert "MB" in said and "footage was not touched" in said
    command(run)
    assert "nothing was left to remove" in capsys.readouterr().out
    assert main(["status", "--run", str(run)]) == 0
    status = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for stage in ("crop", "evaluate", "export", "report"):
        assert "made again when asked for" in status[stage]
    assert all("fresh" in status[stage] for stage in ("isolate", "train@1", "identify"))
    assert main(["annotate", "--run", str(run), "--port", "0"]) == 2
    assert "purged" in capsys.readouterr().err
    assert main(["plan", "--run", str(tmp_path / "new"), "--model", str(run)]) == 2
    assert "perhaps purged" in capsys.readouterr().err
    assert main(["run", "--run", str(run)]) == 0
    ran = [
        line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if line.endswith("asked for")
    ]
    assert ran == ["crop", "evaluate", "export", "report"]
    assert outputs(run) == before
    assert list((run / "report" / "report_files").glob("*.mp4"))


def people_shown(run, pids):
    """True people whose colours are in some picture of the run: of crops, of the report, of its clips."""
    pictures = []
    for table in [*run.glob("shard_cache/*/*/crops.parquet")]:
        shard = (table.parent / "crops.tar").read_bytes()
        for row in pd.read_parquet(table).to_dict("records"):
            jpeg = np.frombuffer(shard[row["offset"] : row["offset"] + row["size"]], np.uint8)
            pictures.append(cv2.imdecode(jpeg, 1)[..., ::-1])
    pictures += [cv2.imread(str(path))[..., ::-1] for path in run.glob("report/report_files/*.jpg")]
    for path in run.glob("report/report_files/*.mp4"):
        with av.open(io.BytesIO(path.read_bytes())) as clip:
            pictures += [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(pictures) > 100
    found = set()
    for pid in pids:
        for colour in colours_of(pid):
            if any((np.abs(p.astype(int) - colour).max(2) < 12).sum() > 40 for p in pictures):
                found.add(pid)
    return found


@pytest.mark.slow
def test_a_purged_person_stays_away(run, capsys):
    assert people_shown(run, (1, *GONE)) == {1, *GONE}
    shards = {p.name for p in (run / "shard_cache" / "crop").iterdir() if p.is_dir()}
    numbers = numbers_of(run, GONE[:1])
    command(run, *numbers)
    said = capsys.readouterr().out
    assert (
        f"person {numbers[0]}: 2 tracklets in 2 cameras, 2026-03-01 08:00:08" in said
        and "learnt from them" in said
    )
    left = {p.name for p in (run / "shard_cache" / "crop").iterdir()}
    assert left < shards and len(left) == 2  # of the other two recordings
    assert not (run / "features").exists() and not (run / "export" / "gallery.faiss").exists()
    command(run, *numbers)  # after a kill, say
    assert "nothing was left to remove" in capsys.readouterr().out
    command(run, *numbers_of(run, GONE[1:]))
    assert len(redaction_list.read(run / redaction_list.PLACE)) == 4
    # Another tracker finds the same people in the same places.
    assert main(["run", "--run", str(run), "--set", f"track.max_gap_s=1.7 {LIGHT}"]) == 0
    assert people_shown(run, (1, *GONE)) == {1}
    tracklets = pd.read_parquet(run / "isolate" / "tracklets.parquet")
    crops = pd.read_parquet(run / "isolate" / "crops.parquet")
    assert len(tracklets) == 12 and crops.tracklet_id.nunique() == 8
    gallery = pd.read_parquet(run / "export" / "gallery.parquet")
    assert len(gallery) == 8
    assert json.loads((run / "evaluate" / "metrics.json").read_text())["people"]["queries"] == 4
    command(run)
    assert showing_people(run) == [] and len(redaction_list.read(run / redaction_list.PLACE)) == 4


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_kill_in_the_middle_is_mended_by_purging_again_or_running(run, monkeypatch, whole, after, capsys):
    numbers = [] if whole else numbers_of(run, GONE[:1])
    unlink, done = purge._unlink, []

    def killed(file):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(file)
        return unlink(file)

    again = Path(shutil.copytree(run, run.with_name("again")))
    for folder in (run, again):
        done.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(purge, "_unlink", killed)
            command(folder, *numbers)
    command(run, *numbers)
    if whole:
        assert showing_people(run) == []
    else:
        assert not [line for line in showing_people(run) if not line.startswith("shard_cache/crop")]
    assert main(["run", "--run", str(again), "--until", "isolate"]) == 0


def test_what_cannot_be_purged_is_one_sentence(run, tmp_path):
    for numbers, sentence in (
        ([99], "has no such person; there are 1 to 6"), (["six"], "IDENTITY=six"), ([1, 0], "IDENTITY=0"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            command(run, *numbers)
    assert not (run / redaction_list.PLACE).exists() and (run / "report" / "index.html").exists()
    with pytest.raises(UserError, match=r"no request\.json"):
        command(tmp_path)
    (run / redaction_list.PLACE).write_text("[{]")
    with pytest.raises(UserError, match="damaged"):
        command(run, 1)
    (run / "identify" / "identities.parquet").unlink()
    with pytest.raises(UserError, match="nobody is identified"):
        command(run, 1)


def test_numbers_come_with_spaces_and_commas():
    assert purge.identities_of(["7 12,3", "", "7"]) == [3, 7, 12]
    assert purge.identities_of([""]) == []


def test_a_run_under_way_is_not_purged(run):
    from pipeline.runner import locked

    with locked(run), pytest.raises(UserError, match=f"process {os.getpid()}"):
        command(run)
    assert (run / "report" / "index.html").exists()


def a_piece(frames=(10, 20), boxes=((0, 0, 10, 20), (100, 0, 110, 20))):
    return redaction_list.Piece("digest", "t", list(frames), [list(b) for b in boxes])


def test_boxes_of_a_purged_person_are_left_out_wherever_they_are_between_two_frames():
    rows = [
        ("v", 9, 0),
        ("v", 10, 0),
        ("v", 15, 50),
        ("v", 15, 0),
        ("v", 15, 54),
        ("v", 15, 60),
        ("w", 15, 50),
    ]
    boxes = pd.DataFrame(rows, columns=["video_id", "frame", "x1"]).assign(y1=0.0, y2=20.0)
    boxes["x2"] = boxes.x1 + 10.0
    kept = redaction.without(boxes, {"v": [a_piece()]})
    assert list(zip(kept.video_id, kept.frame, kept.x1, strict=True)) == [
        ("v", 9, 0), ("v", 15, 0), ("v", 15, 60), ("w", 15, 50),
    ]  # fmt: skip
    assert redaction.without(boxes, {}) is boxes


def test_the_truth_says_who_a_purged_tracklet_shows():
    truth = pd.DataFrame(
        [("v", 10, 1, 0), ("v", 20, 1, 100), ("v", 20, 2, 97), ("v", 10, 3, 50), ("w", 10, 4, 0)],
        columns=["video_id", "frame", "pid", "x1"],
    ).assign(y1=0.0, y2=20.0)
    truth["x2"] = truth.x1 + 10.0
    assert redaction.persons(truth, {"v": [a_piece()]}) == {1}
    assert redaction.persons(truth, {}) == redaction.persons(truth, {"x": [a_piece()]}) == set()


def test_others_keep_their_part_of_a_frame(site):
    video = next((site / "videos").glob("east*"))
    piece = a_piece((5, 6), ((-30, 10, 20, 60), (150, 80, 400, 200)))
    plain, grey = list(read_frames(video)), list(redaction.painted(read_frames(video), [piece]))
    assert [f.index for f in plain] == [f.index for f in grey]
    assert [f.media_time_s for f in plain] == [f.media_time_s for f in grey]
    for frame in (4, 7):
        assert grey[frame] is not None and np.array_equal(grey[frame].rgb(), plain[frame].rgb())
    picture, before = grey[5].rgb(), plain[5].rgb()
    assert picture.shape == before.shape and (picture[10:60, :20] == 128).all()
    assert np.array_equal(picture[:, 40:], before[:, 40:])
    assert (grey[6].rgb()[80:, 150:] == 128).all()
    assert grey[6].grey() == plain[6].grey()


def test_the_list_holds_a_piece_once_and_a_box_half_a_second_longer(tmp_path):
    boxes = pd.DataFrame(
        [("t", "v", 3, 1.5, 2.5, 9.2, 30.0), ("t", "v", 40, 5.0, 6.0, 12.0, 33.9)],
        columns=["tracklet_id", "video_id", "frame", "x1", "y1", "x2", "y2"],
    )
    videos = pd.DataFrame({"video_id": ["v", "w"], "digest": ["a", "b"], "fps": [10.0, 10.0]})
    (piece,) = redaction.pieces_of(boxes, videos)
    assert piece.frames == [0, 3, 40, 45] and piece.boxes[0] == piece.boxes[1] == [1, 2, 10, 30]
    assert piece.boxes[2] == piece.boxes[3] == [5, 6, 12, 34]
    for _ in range(2):
        redaction_list.add(tmp_path / "purged.json", [piece])
    assert redaction_list.read(tmp_path / "purged.json") == [piece]
    assert redaction_list.of_videos([piece], videos) == {"v": [piece]}
