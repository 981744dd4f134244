"""Two runs side by side, against counting by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import schema
from pipeline.__main__ import main
from pipeline.manifests import RANKINGS
from pipeline.runner import settings_that_differ
from stages.evaluation.compare import compare


def run(
    folder: Path, first_rank: list[int], precision: list[float], *, epochs: int = 3, query: str = "q"
) -> Path:
    """A finished run as far as a comparison looks: two queries a person."""
    (folder / "evaluate").mkdir(parents=True)
    n = len(first_rank)
    rows = pd.DataFrame(
        {
            "checkpoint": "final", "query_id": [f"{query}{i}" for i in range(n)], "pid": np.arange(n, dtype="int32") // 2,
            "camera_id": "a", "first_match_rank": np.array(first_rank, "int32"), "average_precision": precision,
            "inverse_negative_penalty": precision,
        }
    )  # fmt: skip
    schema.write(RANKINGS, rows, folder / "evaluate" / RANKINGS.file)
    final = {"rank1": float(np.mean(np.array(first_rank) == 0)), "mean_ap": float(np.mean(precision))}
    metrics = {
        "reid": {"final": final, "start": {"rank1": None, "mean_ap": None}},
        "association": {"precision": 0.5},
    }
    (folder / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    fingerprint = {
        "stage": "train",
        "settings": {"epochs": epochs},
        "version": 1,
        "inputs": {"x": str(epochs)},
    }
    receipt = {
        "node": "train@0",
        "fingerprint": fingerprint,
        "outputs": {},
        "seconds": 1,
        "sources_digest": "",
        "metadata": {},
    }
    (folder / "evaluate" / "receipt.json").write_text(json.dumps(receipt))
    return folder


def test_differences_and_their_intervals(tmp_path: Path) -> None:
    a = run(tmp_path / "a", [0, 1, 3, 0] * 5, [0.5] * 20)
    b = run(tmp_path / "b", [0, 0, 0, 0] * 5, [0.75] * 20, epochs=7)
    rows = {row["measure"]: row for row in compare(a, b)}
    rank1, mean_ap = rows["final, rank-1"], rows["final, mAP"]
    assert (rank1["a"], rank1["b"], rank1["difference"], rank1["people"]) == (0.5, 1.0, 0.5, 10)
    # Everybody gains one of two queries, so every resample of people says the same.
    assert rank1["interval"] == pytest.approx([0.5, 0.5]) and mean_ap["interval"] == pytest.approx(
        [0.25, 0.25]
    )
    assert rows["association precision"] == {"measure": "association precision", "a": 0.5, "b": 0.5, "difference": 0.0,
                                             "interval": None, "people": None}  # fmt: skip
    assert "start, rank-1" not in rows and "tracking IDF1" not in rows
    assert settings_that_differ(a, b) == ["train.epochs 3 → 7"]
    assert settings_that_differ(a, a) == []
    back = {row["measure"]: row for row in compare(b, a)}
    assert back["final, rank-1"]["difference"] == -0.5


def test_an_even_chance_is_not_beyond_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    a, b = (run(tmp_path / n, random.integers(0, 2, 40).tolist(), [0.5] * 40) for n in "ab")
    low, high = compare(a, b)[0]["interval"]
    assert low < 0 < high
    assert main(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr().out
    assert "final, rank-1" in said and "beyond chance" not in said and "nothing" in said
    assert main(["compare", str(a), str(b), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["measure"] == "final, rank-1"


def test_other_queries_are_not_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run(tmp_path / "a", [0, 0], [1, 1]), run(tmp_path / "b", [0, 1], [1, 0.5], query="other")
    assert all(row["interval"] is None for row in compare(a, b))
    assert main(["compare", str(a), str(b)]) == 0
    assert "nothing can be paired" in capsys.readouterr().out
    assert main(["compare", str(a), str(tmp_path / "none")]) == 2
    assert "make all RUN=" in capsys.readouterr().err
