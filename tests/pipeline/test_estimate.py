"""Estimates are the median of earlier runs, by the hour of footage or by the round."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline.estimate import Estimate, estimates, sentence


def past_run(root, name, hours, seconds, device="cpu"):
    folder = root / name / "ingest"
    folder.mkdir(parents=True)
    rows = {"status": ["ok", "unreadable"], "t_from_us": [0, 0], "t_until_us": [round(hours * 3.6e9), 10**15]}
    pd.DataFrame(rows).to_parquet(folder / "videos.parquet")
    for node, value in seconds.items():
        place = root / name / (node if "@" not in node else f"train/weave/round-{node[-1]}")
        place.mkdir(parents=True, exist_ok=True)
        whole = {"fingerprint": {}, "outputs": {}, "sources_digest": "", "metadata": {}}
        receipt = {"node": node, "seconds": value, "device": device, **whole}
        (place / "receipt.json").write_text(json.dumps(receipt))
    return root / name


def node(name):
    return SimpleNamespace(id=name, stage=SimpleNamespace(name=name.partition("@")[0]))


def test_by_the_hour_and_by_the_round(tmp_path):
    past_run(tmp_path, "a", 1, {"ingest": 10, "detect": 100, "train@1": 60})
    past_run(tmp_path, "b", 2, {"ingest": 40, "detect": 600, "train@1": 80})
    past_run(tmp_path, "gpu", 1, {"ingest": 1, "detect": 1}, device="cuda")
    mine = past_run(tmp_path, "mine", 10, {"ingest": 150})
    found = estimates(mine, [node("detect"), node("train@1"), node("crop")], "cpu")
    assert found["detect"].seconds == pytest.approx(10 * 200)  # the median of 100 and 300 an hour
    assert found["train@1"].seconds == pytest.approx(70)
    assert found["crop"].seconds is None


def test_before_ingest_and_with_no_neighbour_nothing_is_promised(tmp_path):
    past_run(tmp_path, "a", 1, {"detect": 100})
    assert estimates(tmp_path / "new", [node("detect")], "cpu")["detect"].seconds is None
    assert "No earlier run" in sentence([Estimate(None, None)])


def test_the_sentence():
    text = sentence([Estimate(600, 3e8), Estimate(None, None)])
    assert (
        text
        == "About 10 minutes and 300 MB, by earlier runs here; 1 of the steps never ran here and are not in it."
    )
