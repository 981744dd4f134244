"""The stages ground_truth and evaluate as the runner calls them, on rendered videos and on real footage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from camera_topology.site import without_file
from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import LABELLED_FRAMES

from pipeline.manifests import (  # isort: skip
    ASSOCIATIONS, BOXES, CONFUSIONS, CROPS, DETECTIONS, GROUND_TRUTH, IDENTITIES, MODEL, PEOPLE, RANKINGS, SELECTION, TRACKLETS,
    VIDEOS,
)  # fmt: skip
from pipeline.schema import Manifest
from pipeline.stage import Context, Stage
from stages import evaluate, ground_truth
from tests.tables import whole_files

MORNING, NOON, AFTERNOON = 0, 3_600_000_000, 7_200_000_000  # µs
FPS, FRAMES, SIZE = 10, 30, (160, 96)
COLOURS = {
    1: (230, 30, 30),
    2: (30, 220, 40),
    3: (40, 60, 230),
    4: (230, 220, 40),
    5: (30, 220, 220),
    6: (250, 250, 250),
}
# Who walks in which recording; 3 is seen on both sides of the cut, 6 by one camera only.
WALKS = {
    ("cam1", MORNING): [1, 2, 3],
    ("cam2", MORNING): [1, 2],
    ("cam1", AFTERNOON): [3, 4, 5],
    ("cam2", AFTERNOON): [4, 5, 6],
}


def context(
    stage: Stage, folder: Path, sources: dict[str, Any], tables: dict[Manifest, list[Path]], **settings: Any
) -> Context:
    out = folder / stage.name
    out.mkdir(parents=True, exist_ok=True)
    return Context(
        settings=stage.config(**settings),
        run_dir=folder,
        out=out,
        seed=0,
        device="cpu",
        sources=sources,
        inputs={m.name: paths for m, paths in tables.items()},
        outputs={m.name: m for m in stage.outputs},
        shard_key_parts={
            "stage": stage.name,
            "settings": settings,
            "sources": {k: str(v) for k, v in sources.items()},
        },
    )


def save(manifest: Manifest, frame: pd.DataFrame, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    schema.write(manifest, typed(manifest, frame), folder / manifest.file)
    return folder / manifest.file


def typed(manifest: Manifest, frame: pd.DataFrame) -> pd.DataFrame:
    types = {
        c.name: c.type.to_pandas_dtype() for c in manifest.columns if str(c.type) not in ("string", "bool")
    }
    return frame[[c.name for c in manifest.columns]].astype(types)


def render(path: Path, people: list[int]) -> None:
    import av

    rng = np.random.default_rng(len(people))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 4_000_000
        for f in range(FRAMES):
            image = rng.integers(90, 110, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
            for x, y, w, h, pid in boxes_at(f, people):
                image[y : y + h, x : x + w] = COLOURS[pid]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def boxes_at(f: int, people: list[int]) -> list[tuple[int, int, int, int, int]]:
    return [(6 + 50 * k + f, 20, 20, 50, pid) for k, pid in enumerate(people)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings with truth, and the VIDEOS table."""
    folder = tmp_path_factory.mktemp("evaluate")
    rows = []
    (folder / "gt").mkdir()
    for (camera, start), people in WALKS.items():
        name = f"{camera}_{start // 1_000_000:05d}"
        render(folder / f"{name}.mp4", people)
        lines = [
            f"{f + 1},{pid},{x},{y},{w},{h},1,1,1\n"
            for f in range(FRAMES)
            for x, y, w, h, pid in boxes_at(f, people)
        ]
        (folder / "gt" / f"{name}.txt").write_text(
            "".join(lines) + f"1,99,0,0,5,5,0,1,1\n{FRAMES + 1},1,0,0,9,9,1,1,1\n"
        )
        rows.append(
            {"video_id": name, "camera_id": camera, "path": str(folder / f"{name}.mp4"), "digest": name, "status": "ok",
             "t_start_us": start, "t_end_us": start + 2_900_000, "frames": FRAMES, "width": SIZE[0], "height": SIZE[1],
             "fps": FPS, "time_source": "file name", "clock_scale": 1.0, "time_std_s": 0.0, "note": ""}
        )  # fmt: skip
    save(VIDEOS, whole_files(pd.DataFrame(rows)), folder / "ingest")
    return folder


def truth_of(folder: Path, source: Path | None, cut: tuple[int, int] = (NOON, NOON)) -> Path:
    sources = {"ground_truth": source, "cut": cut}
    ctx = context(ground_truth.STAGE, folder, sources, {VIDEOS: [folder / "ingest" / VIDEOS.file]})
    ground_truth.run(ctx)
    return ctx.out


def test_truth_gets_true_times_and_people_get_roles(site: Path) -> None:
    out = truth_of(site, site / "gt")
    assert schema.read(LABELLED_FRAMES, out / LABELLED_FRAMES.file).empty  # every frame was labelled
    truth = schema.read(GROUND_TRUTH, out / GROUND_TRUTH.file)
    assert len(truth) == FRAMES * 11  # neither the ignored box nor the one after the last frame
    late = truth[(truth.video_id == "cam2_07200") & (truth.frame == 7)]
    assert late.t_utc_us.tolist() == [AFTERNOON + 700_000] * 3 and late.pid.tolist() == [4, 5, 6]
    people = schema.read(PEOPLE, out / PEOPLE.file).set_index("pid")
    assert people.role.to_dict() == {1: "train", 2: "train", 3: "both", 4: "test", 5: "test", 6: "test"}
    assert people.n_cameras.to_dict() == {1: 2, 2: 2, 3: 1, 4: 2, 5: 2, 6: 1}


def test_no_truth_gives_empty_tables(site: Path) -> None:
    out = truth_of(site, None)
    assert (
        schema.read(GROUND_TRUTH, out / GROUND_TRUTH.file).empty
        and schema.read(PEOPLE, out / PEOPLE.file).empty
    )


def test_truth_drawn_at_another_size_is_said_with_what_mends_it(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth_of(site, site / "gt")
    assert "another size" not in capsys.readouterr().out
    large = tmp_path / "large"
    large.mkdir()
    for path in (site / "gt").glob("*.txt"):
        rows = [line.split(",") for line in path.read_text().splitlines()]
        grown = [[*r[:2], *(str(4 * float(v)) for v in r[2:6]), *r[6:]] for r in rows]
        (large / path.name).write_text("".join(",".join(r) + "\n" for r in grown))
    truth_of(site, large)
    said = capsys.readouterr().out
    assert "drawn at another size" in said and "ground_truth.scale=0." in said


def test_truth_that_fits_no_video_is_a_user_error(site: Path) -> None:
    with pytest.raises(UserError, match="nothing for any video"):
        truth_of(site, site / "ingest")


def test_roles_at_the_very_cut() -> None:
    truth = pd.DataFrame(
        {"video_id": "v", "t_utc_us": [10, 11, 14, 15, 12, 9, 16], "pid": [1, 2, 3, 4, 5, 6, 6]}
    )
    camera = pd.Series({"v": "c"})
    assert ground_truth.roles(truth, camera, 10, 15).set_index("pid").role.to_dict() == {
        1: "train",
        4: "test",
        6: "both",
    }
    # Training may read the frame at the cut itself, so it is no test frame.
    assert ground_truth.roles(truth, camera, 10, 10).set_index("pid").role[1] == "train"
    assert ground_truth.roles(truth[:0], camera, 10, 10).empty


def test_variable_frame_rate_is_kept() -> None:
    rows = pd.DataFrame(
        {"frame": [0, 2], "id": 1, "visibility": 1.0, "x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    )
    video = {"video_id": "v", "t_start_us": 5_000_000, "clock_scale": 2.0}
    table = ground_truth.true_boxes(rows, video, np.array([0.0, 0.1, 0.9]), scale=0.5)
    assert table.t_utc_us.tolist() == [5_000_000, 6_800_000]
    assert table[["x1", "y2"]].to_numpy().tolist() == [[0.5, 2], [0.5, 2]]


def tables_of_perfect_tracking(site: Path, run: Path) -> dict[Manifest, list[Path]]:
    """What a chain without an error would have written, but for one wrong link and one missing tracklet."""
    from data.crops import cut_boxes
    from stages.network import backbone

    truth = schema.read(GROUND_TRUTH, truth_of(site, site / "gt") / GROUND_TRUTH.file)
    videos = schema.read(VIDEOS, site / "ingest" / VIDEOS.file)
    truth["camera_id"] = truth.video_id.map(videos.set_index("video_id").camera_id)
    truth["tracklet_id"] = truth.video_id + "_" + truth.pid.astype(str)
    truth["score"], truth["overlap"], truth["margin"] = 0.9, 1.0, 1.0
    truth["detection"] = truth.groupby(["video_id", "frame"]).cumcount()
    missed = "cam2_07200_5"
    boxes = truth[truth.tracklet_id != missed]
    tracklets = boxes.groupby("tracklet_id").agg(
        camera_id=("camera_id", "first"), t_start_us=("t_utc_us", "min"), t_end_us=("t_utc_us", "max"),
        n_boxes=("frame", "size"), mean_score=("score", "mean"), pid=("pid", "first"),
    ).reset_index()  # fmt: skip
    tracklets["parent_id"] = tracklets.tracklet_id
    cut = []
    for video in videos.itertuples():
        shard = run / "crop" / f"{video.video_id}.tar"
        rows = boxes[(boxes.video_id == video.video_id) & (boxes.frame % 2 == 0)]
        cut.append(cut_boxes(Path(str(video.path)), rows, shard).assign(shard=str(shard.relative_to(run))))
    links = pd.DataFrame(
        [("cam1_00000_1", "cam2_00000_1", True), ("cam1_00000_3", "cam2_00000_2", True), ("cam1_00000_2", "cam2_00000_2", False)],
        columns=["tracklet_a", "tracklet_b", "kept"],
    ).assign(distance=0.5, joint_distance=0.5, transit_time_s=1.0)  # fmt: skip
    paths = {
        VIDEOS: [site / "ingest" / VIDEOS.file],
        GROUND_TRUTH: [site / "ground_truth" / GROUND_TRUTH.file],
        PEOPLE: [site / "ground_truth" / PEOPLE.file],
        LABELLED_FRAMES: [site / "ground_truth" / LABELLED_FRAMES.file],
        DETECTIONS: [save(DETECTIONS, truth, run / "detect")],
        TRACKLETS: [save(TRACKLETS, tracklets, run / "isolate")],
        BOXES: [save(BOXES, boxes, run / "isolate")],
        CROPS: [save(CROPS, pd.concat(cut), run / "isolate")],
        IDENTITIES: [save(IDENTITIES, tracklets.assign(identity=tracklets.pid, confidence=1.0), run / "identify")],
        SELECTION: [
            save(SELECTION, pd.DataFrame({"round": [-1, 0, 1], "signal": 0.5, "chosen": [False, False, True]}), run / "identify")
        ],
        ASSOCIATIONS: [],
        MODEL: [],
    }  # fmt: skip
    for k in (0, 1):
        paths[ASSOCIATIONS].append(save(ASSOCIATIONS, links[: 3 * k], run / "associate" / "m" / f"round-{k}"))
        folder = run / "train" / "m" / f"round-{k}"
        row = {
            "weights": "model.pt",
            "digest": "",
            "backbone": "osnet_x0_25",
            "dim": 512,
            "steps": 0,
        }
        paths[MODEL].append(save(MODEL, pd.DataFrame([row]), folder))
        backbone.save(backbone.build("osnet_x0_25", None, seed=k), folder / "model.pt")
    return paths


def evaluated(
    run: Path, tables: dict[Manifest, list[Path]], cut: tuple[int, int] = (NOON, NOON)
) -> tuple[dict[str, Any], Path]:
    sources = {
        "site": without_file(["cam1", "cam2"]),
        "cut": cut,
        "weights": "random",
        "backbone": "osnet_x0_25",
        "image_size": (256, 128),
        "seed": 0,
        "device": "cpu",
    }
    ctx = context(evaluate.STAGE, run, sources, tables, tracklet_crops=6, truth_crops=2)
    evaluate.run(ctx)
    return json.loads((ctx.out / "metrics.json").read_text()), ctx.out


@pytest.fixture(scope="module")
def tables(site: Path) -> dict[Manifest, list[Path]]:
    return tables_of_perfect_tracking(site, site / "run")


def test_evaluate_on_a_world_known_by_hand(site: Path, tables: dict[Manifest, list[Path]]) -> None:
    found, out = evaluated(site / "run", tables)
    assert found["people"] == {"train": 2, "test": 3, "both": 1, "distractors": 1, "queries": 4}
    assert found["detection"] == {"precision": 1, "recall": 1}
    cameras = found["tracking"].pop("cameras")
    # One of eleven visits is missed; what is found is found whole.
    followed = {"purity": 1, "switches": 0, "r_fm": 1, "r_sw": 1}
    assert found["tracking"] == pytest.approx(
        {"idf1": 2 * 10 / 21, "hota": (10 / 11) ** 0.5, "mota": 10 / 11, **followed}
    )
    assert cameras["cam1"] == pytest.approx({"idf1": 1, "hota": 1, "mota": 1, **followed})
    assert cameras["cam2"]["mota"] == pytest.approx(4 / 5)
    assert found["isolation"] == found["tracking"]
    # Of the true pairs 1-1 and 2-2 one was linked, and 3-2 wrongly.
    assert found["association"]["rounds"][0] == {
        "round": 0, "precision": None, "recall": 0, "f": 0, "pairs": 0,
    }  # fmt: skip
    assert found["association"]["precision"] == found["association"]["recall"] == 0.5
    # In the test time, without person 3: 4, 5, 4, 6 of the true 4, 5, 4, 5, 6.
    # Four of five visits are found (DetA 0.8); 4 and 6 wholly, 5 by half (AssA (2 + 0.5 + 1) / 4).
    assert found["identities"] == {
        "idf1": pytest.approx(8 / 9), "hota": pytest.approx((0.8 * 0.875) ** 0.5), "pair_precision": 1, "pair_recall": 1,
    }  # fmt: skip
    assert found["final_checkpoint"] == "round-1" and found["reid"]["final"] == {
        k: v for k, v in found["reid"]["rounds"][1].items() if k != "round"
    }
    # Two people seen by both cameras, so each pair of cameras is asked twice.
    pairs = found["reid"]["camera_pairs"]
    assert {name: pair["queries"] for name, pair in pairs.items()} == {"cam1 → cam2": 2, "cam2 → cam1": 2}
    assert sum(pair["rank1"] for pair in pairs.values()) / 2 == pytest.approx(found["reid"]["final"]["rank1"])
    assert found["reid"]["supervised"] is None and found["gap_closed"] == {"rank1": None, "mean_ap": None}
    # Person 5 has no tracklet in cam2: that query is missed, and the one in cam1 has nothing to find.
    assert found["reid"]["end_to_end"]["missed_queries"] == 2 and found["reid"]["end_to_end"]["rank1"] <= 0.5
    free = found["label_free"]
    assert free["tracklets"] == 5 and free["final_checkpoint"] == "round-1"
    assert [s["checkpoint"] for s in free["checkpoints"]] == ["start", "round-0", "round-1"]
    assert all(0 <= s["split_halves"] <= 1 and 0 <= s["cycle"] <= 1 for s in free["checkpoints"])
    # Three at once in one camera: the neighbour in the own camera is certainly somebody else.
    assert (
        free["checkpoints"][0]["possible_neighbour"] is not None
        and free["checkpoints"][0]["stability"] is None
    )
    assert free["final_minus_start"]["split_halves"][0] <= free["final_minus_start"]["split_halves"][1]
    confused = schema.read(CONFUSIONS, out / CONFUSIONS.file)
    wrong = schema.read(RANKINGS, out / RANKINGS.file).query("checkpoint == 'final' and first_match_rank > 0")
    asked = confused[confused.role == "query"]
    assert (
        sorted(asked.tracklet_id) == sorted(wrong.query_id) and (confused.groupby("place").size() == 3).all()
    )
    for _, rows in confused.set_index("role").groupby("place"):
        assert rows.pid["match"] == rows.pid["query"] != rows.pid["answer"]
        assert rows.camera_id["query"] not in (rows.camera_id["match"], rows.camera_id["answer"])
    rankings = schema.read(RANKINGS, out / RANKINGS.file)
    assert set(rankings.checkpoint) == {"start", "round-0", "round-1", "final", "end_to_end"}
    assert set(rankings.query_id) == {"cam1/4", "cam2/4", "cam1/5", "cam2/5"}


@pytest.mark.parametrize("form", ["every fifth", "by hand", "CVAT for images", "with cars"])
def test_truth_on_some_frames_measures_these_alone(
    site: Path,
    tables: dict[Manifest, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    at = [0, 4, 9, 13, 17, 21, 26, 28] if form == "by hand" else list(range(0, FRAMES, 5))
    save(VIDEOS, schema.read(VIDEOS, site / "ingest" / VIDEOS.file), tmp_path / "ingest")
    gt = tmp_path / "gt"
    gt.mkdir()
    for (camera, start), people in WALKS.items():
        name = f"{camera}_{start // 1_000_000:05d}"
        rows = [(f, *where) for f in at for where in boxes_at(f, people)]
        if form == "CVAT for images":
            images = "".join(
                f'<image id="{g}" name="frame_{g:06d}">'
                + "".join(
                    f'<box label="person" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"><attribute name="pid">{pid}</attribute></box>'
                    for f, x, y, w, h, pid in rows
                    if f == g
                )
                + "</image>"
                for g in at
            )
            (gt / f"{name}.xml").write_text(f"<annotations>{images}</annotations>")
            continue
        lines = [f"{f + 1},{pid},{x},{y},{w},{h},1,1,1\n" for f, x, y, w, h, pid in rows]
        cars = [f"{f + 1},500,9,60,30,30,1,2,1\n" for f in at] if form == "with cars" else []
        (gt / f"{name}.txt").write_text("".join(lines + cars))
    if form == "with cars":
        (gt / "labels.txt").write_text("person\ncar\n")
    out = truth_of(tmp_path, gt)
    said = capsys.readouterr().out
    assert f"4 of 4 videos, {4 * len(at)} of {4 * FRAMES} frames: the others are unknown" in said
    assert ("on every 5th frame" in said) == (form != "by hand")
    assert ("24 boxes of 'car' in 4 of 4 files" in said) == (form == "with cars")
    assert len(schema.read(GROUND_TRUTH, out / GROUND_TRUTH.file)) == 11 * len(at)
    assert len(schema.read(LABELLED_FRAMES, out / LABELLED_FRAMES.file)) == 4 * len(at)
    own = {m: [out / m.file] for m in (GROUND_TRUTH, PEOPLE, LABELLED_FRAMES)}
    found, _ = evaluated(site / "run", {**tables, **own})
    whole, _ = evaluated(site / "run", tables)
    assert found["detection"] == {"precision": 1, "recall": 1}
    for part in ("tracking", "isolation", "identities", "people"):
        assert flat_of(found[part]) == pytest.approx(flat_of(whole[part]))
    assert found["association"] == whole["association"]


def flat_of(values: Any) -> dict[str, float]:
    return dict(evaluate.flat(values))


def test_truth_without_anybody_is_said(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(VIDEOS, schema.read(VIDEOS, site / "ingest" / VIDEOS.file), tmp_path / "ingest")
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "cam1_00000.xml").write_text("<annotations/>")
    out = truth_of(tmp_path, tmp_path / "gt")
    assert schema.read(LABELLED_FRAMES, out / LABELLED_FRAMES.file).empty
    assert "holds no box of a person" in capsys.readouterr().out


def test_evaluate_without_truth_measures_what_needs_none(
    site: Path, tables: dict[Manifest, list[Path]], tmp_path: Path
) -> None:
    tables = {
        **tables,
        GROUND_TRUTH: [save(GROUND_TRUTH, GROUND_TRUTH.empty(), tmp_path)],
        PEOPLE: [save(PEOPLE, PEOPLE.empty(), tmp_path)],
    }
    found, out = evaluated(site / "run", tables)
    assert found["label_free"]["checkpoints"][-1]["split_halves"] is not None
    assert found["people"]["test"] is None and found["association"]["precision"] is None
    assert set(found["reid"]["final"].values()) == {None}
    assert schema.read(RANKINGS, out / RANKINGS.file).empty


def test_evaluate_where_nothing_is_held_out(site: Path, tables: dict[Manifest, list[Path]]) -> None:
    end = AFTERNOON + 10_000_000
    truth_of(site, site / "gt", (end, end))
    found, _ = evaluated(site / "run", tables, (end, end))
    truth_of(site, site / "gt")
    assert found["label_free"]["checkpoints"] == [] and found["label_free"]["tracklets"] == 0
    assert found["people"] == {"train": 6, "test": 0, "both": 0, "distractors": 0, "queries": 0}
    assert found["identities"]["idf1"] is None and found["detection"]["recall"] == 1


@pytest.mark.slow
@pytest.mark.footage
def test_market_site_truth_agrees_with_its_own_account(footage: Path, tmp_path: Path) -> None:
    folder = footage / "market-site"
    account = json.loads((folder / "truth.json").read_text())["recordings"]
    rows = []
    for path in sorted(folder.glob("*.mp4")):
        start = pd.Timestamp(path.stem.split("_")[1])
        frames = account[path.stem.split("_")[1]]["frames"]
        rows.append(
            {"video_id": path.stem, "camera_id": path.stem[:4], "path": str(path), "digest": path.stem, "status": "ok",
             "t_start_us": start.value // 1000, "t_end_us": start.value // 1000 + (frames - 1) * 100_000, "frames": frames,
             "width": 640, "height": 384, "fps": 10.0, "time_source": "file name", "clock_scale": 1.0, "time_std_s": 0.0,
             "note": ""}
        )  # fmt: skip
    save(VIDEOS, whole_files(pd.DataFrame(rows)), tmp_path / "ingest")
    noon = pd.Timestamp("2026-05-01T12:00:00Z").value // 1000
    out = truth_of(tmp_path, folder / "gt", (noon, noon))
    truth = schema.read(GROUND_TRUTH, out / GROUND_TRUTH.file)
    people = schema.read(PEOPLE, out / PEOPLE.file)
    assert people.role.value_counts().to_dict() == {"train": 50, "test": 50}
    assert (people.n_cameras > 1).all()
    for start, facts in account.items():
        part = truth[truth.video_id.str.endswith(start)]
        began = pd.Timestamp(start).value // 1000
        seen = part.assign(second=(part.t_utc_us - began) / 1e6, camera=part.video_id.str[:4])
        appearances = seen.groupby(["pid", "camera"]).second.agg(["min", "max"])
        walks = {(w["pid"], w["camera"]): w for w in facts["walks"]}
        assert len(appearances) == len(walks) == facts["appearances"]
        for key, (first, last) in zip(appearances.index, appearances.to_numpy(), strict=True):
            assert walks[key]["enter_s"] - 0.2 <= first and last <= walks[key]["leave_s"] + 0.2
