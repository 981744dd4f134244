"""Receipts of a run: all that ended, damaged ones left out."""

import json

from pipeline import receipts


def write(path, node, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "node": node,
        "fingerprint": {},
        "outputs": {},
        "seconds": 1.0,
        "sources_digest": "",
        "metadata": {},
    }
    path.write_text(json.dumps(whole | more))


def test_all_that_ended_in_a_run(tmp_path):
    write(tmp_path / "track" / "receipt.json", "track", seconds=2.0)
    write(tmp_path / "track.old" / "receipt.json", "track", seconds=9.0)  # left by a kill, and replaced since
    write(tmp_path / "crop.old" / "receipt.json", "crop")  # the one place it still is
    write(tmp_path / "train" / "weave" / "round-1" / "receipt.json", "train@1")
    write(tmp_path / ".scratch" / "detect" / "receipt.json", "detect")
    write(tmp_path / "isolate" / "receipt.json", "isolate", seconds="long")
    (tmp_path / "ingest").mkdir()
    (tmp_path / "ingest" / "receipt.json").write_text("{")
    found = receipts.of_run(tmp_path)
    assert set(found) == {"track", "crop", "train@1"} and found["track"]["seconds"] == 2.0


def test_a_damaged_receipt_is_none(tmp_path):
    path = tmp_path / "receipt.json"
    assert receipts.read(path) is None
    write(path, "track", files=["a.parquet"])
    assert receipts.read(path)["node"] == "track"
    for more in ({"files": [1]}, {"metadata": []}, {"outputs": None}):
        write(path, "track", **more)
        assert receipts.read(path) is None
    path.write_text("[" * 100_000)
    assert receipts.read(path) is None
