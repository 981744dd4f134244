"""The whole chain on a tiny site made here: two cameras, six people, finished detections, a network of random weights.

What is tested is that footage goes in and identities, measures and a report come out, that truth and the time after
the cut stay out of training, and what is run again when something changes.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.__main__ import _once
from pipeline.request import Request
from pipeline.sources import Sources
from tests.tiny_site import FAST, film, pipeline, request

ROOT = Path(__file__).resolve().parents[1]


def test_it_ends_with_measures_and_the_report(finished):
    run, result = finished
    assert str(run / "report" / "index.html") in result.stdout
    assert (run / "report" / "index.html").is_file()
    assert "ultralytics" not in result.stderr


def test_measures_have_the_documented_keys_and_no_nan(finished):
    values = json.loads(pipeline("metrics", "--run", finished[0], "--json").stdout)
    assert set(values["reid"]) >= {"start", "rounds", "final", "supervised", "end_to_end"}
    for name in ("start", "final", "supervised", "end_to_end"):
        assert set(values["reid"][name]) >= {"rank1", "mean_ap"}
    assert len(values["reid"]["rounds"]) == 2
    assert set(values["tracking"]) >= {"idf1", "purity", "switches", "r_fm", "r_sw"}
    assert values["people"]["train"] == 3 and values["people"]["test"] == 3
    assert values["detection"] == {"precision": 1.0, "recall": 1.0}
    assert values["tracking"]["purity"] == 1.0
    assert set(values["seconds"]) >= {
        "ingest",
        "detect",
        "track",
        "crop",
        "train",
        "identify",
        "evaluate",
        "report",
    }


def test_identities_are_written_for_every_tracklet_and_video(finished):
    run = finished[0]
    identities = pd.read_parquet(run / "identify" / "identities.parquet")
    tracklets = pd.read_parquet(run / "isolate" / "tracklets.parquet")
    assert set(identities.tracklet_id) == set(tracklets.tracklet_id) and len(tracklets) == 12
    assert len(pd.read_csv(run / "identify" / "identities.csv")) == 12
    assert len(list((run / "identify" / "mot").glob("*.txt"))) == 4
    assert (run / "identify" / "model.pt").is_file()


def test_training_reads_nothing_after_the_cut(finished):
    run = finished[0]
    for folder in run.glob("associate/weave/round-*"):
        labels = pd.read_parquet(folder / "pseudo_labels.parquet")
        assert labels.tracklet_id.str.contains("20260301T08").all()


def test_second_run_does_nothing_and_says_so(run):
    assert "Nothing to do" in pipeline("run", "--run", run).stdout


def test_a_tracker_setting_runs_from_track(run):
    result = pipeline("plan", "--run", run, "--set", "track.max_gap_s=0.7")
    first = result.stdout.splitlines()[0]
    assert first.startswith("track") and "track.max_gap_s" in first and "→ 0.7" in first


def test_a_topology_edit_runs_from_associate(run, site, tmp_path):
    edited = tmp_path / "site.yaml"
    text = (site / "site.yaml").read_text().replace("distance_m: 5", "distance_m: 6")
    edited.write_text(text.replace('"videos/', f'"{site}/videos/'))
    again = tmp_path / "same.yaml"
    again.write_text((site / "site.yaml").read_text().replace('"videos/', f'"{site}/videos/'))
    pipeline("run", "--run", run, "--topology", again)
    result = pipeline("plan", "--run", run, "--topology", edited)
    assert result.stdout.splitlines()[0].startswith("associate@")


def test_one_more_video_detects_that_video_only(run, site, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    for path in (site / "videos").iterdir():
        (more / path.name).symlink_to(path)
    detections = tmp_path / "det"
    shutil.copytree(site / "det", detections)
    before = {p.name for p in (run / "shard_cache" / "ingest").iterdir()}
    film(more / "east_20260301T100000Z.mp4", "", "east", [20])
    pipeline("run", "--run", run, "--videos", more, "--topology", "", "--until", "ingest")
    assert len({p.name for p in (run / "shard_cache" / "ingest").iterdir()} - before) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--videos", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--detector", "/nowhere/yolo.pt"], "DETECTOR=/nowhere/yolo.pt"),
        (["--weights", "/nowhere/weights.pth"], "WEIGHTS=/nowhere/weights.pth"),
        (["--ground-truth", "/nowhere/gt"], "GROUND_TRUTH=/nowhere/gt"),
        (["--set", "track.max_gap=3"], "Did you mean 'max_gap_s'?"),
        (["--method", "tastrr"], "Did you mean 'tastr'?"),
        (["--config", "nowhere"], "CONFIG=nowhere"),
        (["--force", "trak"], "Did you mean 'track'?"),
        (["--force", "identify", "--until", "track"], "FORCE=identify"),
        (["--backbone", "osnet_x0_3"], "Did you mean 'osnet_x"),
        (["--weights", "osnet.pth"], "WEIGHTS=osnet.pth"),
        (["--until", "train", "--round", "7"], "ROUND=7"),
        (["--set", "export.formats=[tflite]"], "export.formats"),
        (["--set", "train.epochs=3 train.epochs.x=4"], "train.epochs"),
        (["--device", "gpu"], "DEVICE=gpu"),
        (["--device", "cuda:99"], "DEVICE=cuda:99"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(run, words, sentence):
    result = pipeline("run", "--run", run, *words, check=False)
    assert result.returncode == 2, result.stdout + result.stderr
    assert sentence in result.stderr and "Traceback" not in result.stderr
    assert sum("error:" in line for line in result.stderr.splitlines()) == 1
    # The mistake is not kept: the next command without words works.
    assert "Nothing to do" in pipeline("run", "--run", run).stdout


@pytest.mark.slow
def test_new_footage_through_an_old_model_keeps_the_numbers(run, site, tmp_path):
    words = [
        "--videos",
        site / "videos",
        "--topology",
        site / "site.yaml",
        "--detector",
        site / "det",
        "--device",
        "cpu",
    ]
    fast = "run.image_size=[32,16] evaluate.draws=100 isolate.min_samples=2 identify.min_transfer_probability=0.001"
    result = pipeline("run", "--run", tmp_path / "new", "--model", run, *words, "--set", fast)
    assert "train@" not in result.stdout and "are known from" in result.stdout
    old, new = (
        pd.read_parquet(r / "identify" / "identities.parquet").set_index("tracklet_id").identity
        for r in (run, tmp_path / "new")
    )
    assert (new == old[new.index]).mean() > 0.5  # the very same footage; the network knows nothing
    assert (tmp_path / "new" / "export" / "model.pt").read_bytes() == (
        run / "export" / "model.pt"
    ).read_bytes()
    again = pipeline("run", "--run", tmp_path / "new", "--until", "train", check=False)
    assert again.returncode == 2 and "MODEL=none" in again.stderr
    wrong = pipeline("plan", "--run", tmp_path / "new", "--model", tmp_path, check=False)
    assert wrong.returncode == 2 and "no finished run" in wrong.stderr


@pytest.mark.slow
def test_a_changed_measure_renews_card_and_report(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    pipeline("run", "--run", again, "--set", "evaluate.min_score=0.95")
    assert json.loads((again / "evaluate" / "metrics.json").read_text())["detection"]["precision"] is None
    assert "detection           precision –" in (again / "export" / "model_card.md").read_text()
    (again / "export" / "model.bin").unlink()
    plan = pipeline("plan", "--run", again).stdout
    assert plan.startswith("export")  # a file that was taken away is made again


@pytest.mark.slow
def test_a_picture_of_a_tracklet_finds_its_person(run, tmp_path):
    gallery = pd.read_parquet(run / "export" / "gallery.parquet")
    identities = pd.read_parquet(run / "identify" / "identities.parquet").set_index("tracklet_id").identity
    row = gallery.iloc[0]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    picture = pictures / "who is it.jpg"
    with (run / row.shard).open("rb") as shard:
        shard.seek(row.offset)
        picture.write_bytes(shard.read(row["size"]))
    found = json.loads(pipeline("search", picture, "--run", run, "--json").stdout)
    assert found["people"][0]["identity"] == identities[row.tracklet_id]
    assert 0 <= found["people"][0]["probability"] <= 1
    assert Path(found["sheet"]).stat().st_mode & 0o077 == 0
    (pictures / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "features.parquet"
    result = pipeline("embed", pictures, "--run", run, "--out", out)
    assert "broken.png: cannot be read" in result.stderr
    table = pd.read_parquet(out)
    assert table.path.tolist() == [str(picture)]
    assert np.linalg.norm(table.feature[0]) == pytest.approx(1, abs=1e-5)
    again = pipeline("embed", pictures, "--run", run, "--out", out, check=False)
    assert again.returncode == 2 and "is there already" in again.stderr
    nobody = pipeline("search", tmp_path / "nowhere.jpg", "--run", run, check=False)
    assert nobody.returncode == 2 and "nowhere.jpg: no such picture" in nobody.stderr


def test_without_a_detector_the_downloaded_one_is_meant(tmp_path):
    sources = Sources(Request(), tmp_path, seed=0, device="cpu", holdout_fraction=0.2, image_size=(32, 16))
    assert sources.value("detector") == "yolo11n.pt"


def test_none_forgets_the_remembered_truth(run):
    assert pipeline("plan", "--run", run, "--ground-truth", "none").stdout.startswith("ground_truth")


def test_doctor_says_what_the_machine_has():
    said = pipeline("doctor").stdout
    assert "torch " in said and "MB/s" in said and "cores" in said and "missing" not in said


def test_a_warning_is_said_once():
    line = _once()
    assert [line("a"), line("b"), line("a")] == ["warning: a\n", "warning: b\n", ""]


def test_another_method_drops_settings_it_does_not_know(run):
    result = pipeline("plan", "--run", run, "--method", "tastr")
    assert "train.round_steps=4 is dropped" in result.stderr
    assert result.stdout.splitlines()[0].startswith("associate@0")


def test_a_typo_in_the_site_file_names_line_and_key(run, site, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text((site / "site.yaml").read_text().replace("distance_m", "distance"))
    result = pipeline("run", "--run", run, "--topology", path, check=False)
    assert result.returncode == 2 and "site.yaml" in result.stderr and "distance_m" in result.stderr


def test_nobody_in_the_footage_is_said(site, tmp_path):
    empty = tmp_path / "det"
    empty.mkdir()
    for path in (site / "det").iterdir():
        (empty / path.name).write_text("")
    words = [w if w != site / "det" else empty for w in request(site, tmp_path / "run")]
    result = pipeline("run", *words, check=False)
    assert result.returncode == 2 and "no person" in result.stderr.lower()
    assert not (tmp_path / "run" / "detect").exists()


@pytest.mark.slow
def test_one_camera_runs_and_associates_nothing(site, tmp_path):
    only = tmp_path / "east"
    only.mkdir()
    for path in (site / "videos").glob("east*"):
        shutil.copy(path, only / path.name)
    result = pipeline(
        "run", "--run", tmp_path / "run", "--videos", only, "--detector", site / "det", "--set", FAST
    )
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert "one camera" in (result.stdout + result.stderr).lower()


def digests(run, *nodes):
    receipts = [json.loads((run / node / "receipt.json").read_text()) for node in nodes]
    return [receipt["outputs"] for receipt in receipts]


@pytest.mark.slow
def test_several_processes_make_what_one_makes(finished, site, tmp_path):
    pipeline("run", *request(site, tmp_path / "run"), "--set", "run.workers=3", "--until", "crop")
    nodes = ("ingest", "detect", "track", "crop")
    assert digests(tmp_path / "run", *nodes) == digests(finished[0], *nodes)


@pytest.mark.slow
def test_camera_labels_join_what_they_call_one_person_and_leak_nothing_across(run, site, tmp_path):
    """The truth's ids, once as they are and once counted otherwise in one camera, are the same weak supervision."""
    found = []
    for add in (0, 500):
        labels = tmp_path / f"labels{add}"
        labels.mkdir()
        for path in (site / "gt").iterdir():
            rows = [line.split(",") for line in path.read_text().splitlines()]
            shift = add if path.stem.startswith("west") else 0
            text = "".join(",".join([r[0], str(int(r[1]) + shift), *r[2:]]) + "\n" for r in rows)
            (labels / path.name).write_text(text)
        words = ("run", "--run", run, "--camera-labels", labels, "--until", "associate")
        result = pipeline(*words)
        found.append(digests(run, "camera_labels", "associate/weave/round-0", "associate/weave/round-1"))
    assert found[0] == found[1]
    assert "camera_labels: " in result.stdout and "associate@" not in result.stdout
    table = pd.read_parquet(run / "camera_labels" / "camera_labels.parquet")
    assert (
        len(table) == 12
        and (table.label >= 0).all()
        and table.groupby("camera_id").label.nunique().eq(6).all()
    )
    pipeline("run", "--run", run, "--camera-labels", "none", "--until", "associate")
    assert "Nothing to do" in pipeline("run", "--run", run, "--until", "associate").stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "sets"),
    [
        ("dal", "train.steps=3 train.round_steps=3 train.batch_images=8"),
        ("race", "train.steps=3 train.round_steps=3 train.batch_images=8 train.embedding=16"),
        ("reliable_soft", "train.steps=3 train.round_steps=3 train.batch_images=8"),
        ("pul", "train.steps=3 train.round_steps=3 train.batch_images=8"),
        (
            "tmc",
            "train.round_steps=3 train.batch_people=2 train.clip_frames=2 associate.min_samples=2 associate.k1=2",
        ),
        ("tastr", "train.epochs=1 train.round_epochs=1 train.batch_tracklets=4 train.batch_images=2"),
    ],
)
def test_every_method_runs_two_rounds_and_is_cached(run, method, sets):
    words = ("run", "--run", run, "--method", method, "--set", sets, "--until", "identify")
    said = pipeline(*words).stdout
    assert "train@1" in said and "Nothing to do" in pipeline(*words).stdout
    folder = run / "train" / method
    models = [pd.read_parquet(folder / f"round-{r}" / "model.parquet") for r in (0, 1)]
    assert (run / "identify" / "model.pt").is_file()
    assert models[0].steps.iloc[0] > 0 or method == "tmc"  # whose random network may find nobody dense enough
    labels = pd.read_parquet(run / "associate" / method / "round-1" / "pseudo_labels.parquet")
    assert labels.tracklet_id.str.contains("20260301T08").all()  # nothing after the cut
