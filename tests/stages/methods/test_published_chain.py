"""A published benchmark through the chain, from a folder of pictures made here."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline import schema
from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.manifests import CROPS, PROTOCOL, RANKINGS, TRACKLETS, VIDEOS
from pipeline.opening import open_run
from pipeline.request import Asked
from stages import dataset, rank
from stages.evaluation.retrieval import summary
from stages.network.pooling import POOLING

PEOPLE, CAMERAS, IMAGES = 8, 2, 3
TINY = "run.image_size=[32,16] run.rounds=1 train.steps=2 train.round_steps=2 train.batch_images=4"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody has a colour of their own, in every picture of both cameras."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for person in range(1, PEOPLE + 1):
        colour = random.integers(0, 256, 3)
        for camera in range(1, CAMERAS + 1):
            for n in range(IMAGES):
                image = np.clip(colour + random.normal(0, 8, (64, 32, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(root / f"{person:04d}_c{camera}s1_{100 * person + n:06d}_01.jpg"), image)
    return root


def benchmark(run: Path, root: Path, *words: str) -> int:
    return main(
        [
            "run",
            "--run",
            str(run),
            "--dataset",
            "market-half",
            "--root",
            str(root),
            "--weights",
            "random",
            "--set",
            TINY,
            *words,
        ]
    )


@pytest.mark.slow
def test_from_a_folder_to_the_paper_s_row(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert benchmark(run, pictures, "--method", "reliable_soft", "--set", "associate.people=4") == 0
    said = capsys.readouterr().out
    assert (
        "market-half, trial 0 of 0 to 9, reliable_soft" in said
        and "round-1" in said
        and "the paper" not in said
    )
    metrics = json.loads((run / "rank" / "metrics.json").read_text())
    assert metrics["queries"] == metrics["gallery"] == PEOPLE // 2 * CAMERAS * IMAGES
    assert [r["checkpoint"] for r in metrics["reid"]["rounds"]] == ["round-0", "round-1"]
    assert 0 <= metrics["reid"]["final"]["rank1"] <= metrics["reid"]["final"]["rank5"] <= 1
    assert [r["round"] for r in metrics["labels"]] == [0, 1]
    protocol = schema.read(PROTOCOL, run / "dataset" / PROTOCOL.file)
    tracklets = schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file)
    assert set(tracklets.tracklet_id) == set(protocol.tracklet_id[protocol.part == "train"])
    crops = schema.read(CROPS, run / "dataset" / CROPS.file)
    assert {Path(p).parent for p in crops["shard"]} == {pictures.resolve()}  # nothing is copied
    assert (schema.read(VIDEOS, run / "dataset" / VIDEOS.file).time_std_s > 1e6).all()
    rankings = schema.read(RANKINGS, run / "rank" / RANKINGS.file)
    assert set(rankings.checkpoint) == {"start", "round-0", "round-1"}
    # Again is nothing to do, and the measures can be asked for alone.
    assert benchmark(run, pictures) == 0 and "Nothing to do" in capsys.readouterr().out
    assert main(["metrics", "--run", str(run)]) == 0 and "rank-20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset", "marz"], r"DATASET=marz: no such benchmark"),
        (["--root", ""], r"ROOT"),
        (["--trial", "ten"], r"TRIAL=ten: wants a number"),
        (["--trial", "10"], r"TRIAL=10: market-half has the trials 0 to 9"),
    ],
)
def test_a_wrong_word_is_named(
    pictures: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--dataset": "market-half", "--root": str(pictures)} | dict(
        zip(words[::2], words[1::2], strict=True)
    )
    run = [
        "run",
        "--run",
        str(tmp_path / "run"),
        "--weights",
        "random",
        *(w for pair in given.items() for w in pair if pair[1]),
    ]
    assert main(run) == 2
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.slow
def test_labels_of_a_source_train_a_start_for_other_runs(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, size = tmp_path / "start", "run.image_size=[32,16]"
    words = ["--source", "market-half", "--root", str(pictures), "--weights", "random"]
    small = f"{size} pretrain.steps=30 pretrain.batch_people=4 pretrain.batch_images=2 pretrain.learning_rate=0.003"
    assert main(["run", "--run", str(run), *words, "--set", small]) == 0
    said = capsys.readouterr().out
    start = run / "pretrain" / "model.pt"
    assert f"WEIGHTS={start}" in said and "pretrain" in said
    metrics = json.loads((run / "rank" / "metrics.json").read_text())
    assert [r["checkpoint"] for r in metrics["reid"]["rounds"]] == ["pretrain"] and not metrics["labels"]
    # People who differ in nothing but their colour: what it learned of the one half helps with the other.
    assert metrics["reid"]["final"]["mean_ap"] >= metrics["reid"]["start"]["mean_ap"] - 0.05
    assert (
        benchmark(
            tmp_path / "run",
            pictures,
            "--method",
            "pul",
            "--set",
            "associate.people=4",
            "--weights",
            str(start),
        )
        == 0
    )
    capsys.readouterr()
    assert main(["run", "--run", str(tmp_path / "x"), *words, "--dataset", "mars"]) == 2
    assert "name one of them" in capsys.readouterr().err


def test_settings_of_a_paper_are_taken_unless_others_are_named(tmp_path: Path) -> None:
    def settings(*sets: str, **values: str) -> tuple[object, object, str, object]:
        asked = Asked({"dataset": "prid2011", "root": str(tmp_path), **values}, sets=sets)
        runner, request = open_run(tmp_path / "run", asked)
        request.save(tmp_path / "run")
        dal = runner.settings
        return (
            dal["rank"].pooling,
            dal["run"].rounds,
            runner.sources.value("backbone"),
            runner.sources.value("weights"),
        )  # type: ignore[attr-defined]

    assert settings(method="dal") == ("max", 10, "resnet50", "pretrained")
    assert settings("run.rounds=2", weights="random") == ("max", 2, "resnet50", "random")
    assert settings() == ("max", 2, "resnet50", "random")  # remembered
    assert settings(method="tmc")[:2] == ("mean", 2)
    other = tmp_path / "own.yaml"
    other.write_text("run: {rounds: 1}\n")
    assert settings(method="dal", config=str(other))[0] == "mean"


def test_footage_benchmark_and_source_take_each_other_s_place(tmp_path: Path) -> None:
    def nodes(supervised: bool = False, **values: str) -> set[str]:
        runner, request = open_run(tmp_path / "run", Asked(values, supervised=supervised))
        request.save(tmp_path / "run")
        return {node.id for node in runner.nodes}

    root = str(tmp_path)
    assert "rank" in nodes(dataset="mars", root=root) and "rank" in nodes()
    assert "pretrain" in nodes(source="mars", root=root) and "detect" in nodes(videos=root)
    assert "detect" in nodes()
    with pytest.raises(UserError, match="not with a published benchmark"):
        nodes(dataset="mars", root=root, supervised=True)


def test_frames_are_counted_along_each_camera() -> None:
    images = pd.DataFrame(
        {
            "tracklet_id": list("aabbc"),
            "camera_id": list("xxxxy"),
            "t_us": [5, 9, 9, 12, 9],
            "frame": [0, 1, 0, 1, 0],
        }
    )
    found = dataset.in_frames(images.sample(frac=1, random_state=0)).sort_index()
    assert found.frame.tolist() == [0, 1, 1, 2, 0]
    boxes = dataset.boxes(found.assign(part="train"))
    together = boxes[(boxes.video_id == "x") & (boxes.frame == 1)]
    assert len(together) == 2 and abs(together.x1.diff().iloc[1]) > 500  # seen at once, and not touching


@pytest.mark.slow
def test_a_benchmark_that_changed_is_read_again(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(pictures, root)
    words = ["--method", "pul", "--set", "associate.people=4 run.rounds=0 train.steps=0"]
    assert benchmark(tmp_path / "run", root, *words) == 0
    for person in (1, 2, 3):
        shutil.copy(
            root / f"{person:04d}_c1s1_{100 * person:06d}_01.jpg",
            root / f"{100 + person:04d}_c1s1_000001_01.jpg",
        )
    capsys.readouterr()
    assert benchmark(tmp_path / "run", root, *words) == 0
    assert "dataset changed" in capsys.readouterr().out


def test_pooling_by_hand() -> None:
    frames = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    of, ids = ["a", "a", "b"], ["b", "a", "none"]
    mean, largest, hull = (POOLING[name](frames, of, ids) for name in ("mean", "max", "hull"))
    np.testing.assert_allclose(largest[1], np.array([1.0, 0.6]) / np.hypot(1, 0.6), atol=1e-6)
    np.testing.assert_allclose(mean[1], np.array([1.8, 0.6]) / np.hypot(1.8, 0.6), atol=1e-6)
    for pooled in (mean, largest, hull):
        np.testing.assert_allclose(pooled[0], [0, 1], atol=1e-6)
        assert not pooled[2].any()
    # Of two frames the median is the mean, and the hull's point lies there.
    np.testing.assert_allclose(hull[1], mean[1], atol=1e-6)


def test_scores_of_no_query() -> None:
    rows = pd.DataFrame(
        {
            "first_match_rank": [0, 4, 19],
            "average_precision": [1.0, 0.5, 0.0],
            "inverse_negative_penalty": [1.0, 0.2, 0.0],
        }
    )
    assert summary(rows, rank.RANKS) == {
        "rank1": 1 / 3,
        "rank5": 2 / 3,
        "rank10": 2 / 3,
        "rank20": 1.0,
        "mean_ap": 0.5,
        "mean_inp": pytest.approx(0.4),
    }
    assert set(summary(rows[:0], rank.RANKS).values()) == {None}
