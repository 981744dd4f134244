"""Published benchmarks: file trees of their layout made here, and the real lists where they lie beside the checkout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import yaml

from data.datasets import benchmark, dukemtmc, market1501, mars
from data.datasets.benchmark import DAY_US, Seen, read, tables
from pipeline.errors import UserError


def touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"picture")


def roles(found: benchmark.Benchmark) -> dict[str, tuple[int, bool, bool]]:
    t = found.tracklets
    return {i: (p, q, g) for i, p, q, g in zip(t.tracklet_id, t.pid, t["query"], t.gallery, strict=True)}


def test_times_are_made_up_so_that_nobody_meets() -> None:
    rows = [Seen(f"t{i}", "c1", i, "train", False, False, [Path("b.jpg"), Path("a.jpg")]) for i in range(3)]
    found = tables(rows)
    assert not found.timed
    t = found.tracklets
    assert (t.t_start_us.to_numpy()[1:] > t.t_end_us.to_numpy()[:-1]).all()
    assert found.images.path.tolist() == ["b.jpg", "a.jpg"] * 3  # the order given is the order in time
    with_times = tables([row._replace(t_us=[5, 2]) for row in rows])
    assert with_times.timed and with_times.images.path.tolist() == ["a.jpg", "b.jpg"] * 3
    assert with_times.tracklets[["t_start_us", "t_end_us"]].to_numpy().tolist() == [[2, 5]] * 3
    assert not tables([rows[0]._replace(t_us=[1, 2]), rows[1]]).timed
    assert tables([rows[0]._replace(paths=[])]).tracklets.empty


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"DATASET=marss: no such benchmark\..*mars"):
        read("marss", tmp_path)
    with pytest.raises(
        UserError, match=r"DATASET=mars@1\.7: behind @ stand r_FM and r_SW, as in mars@1\.7_1\.2"
    ):
        read("mars@1.7", tmp_path)
    with pytest.raises(UserError, match=r"TRIAL=1: mars has the trials 0 to 0"):
        read("mars", tmp_path, 1)
    with pytest.raises(UserError, match=r"ROOT=.*nowhere: no such folder"):
        read("mars", tmp_path / "nowhere")
    for name in benchmark.DATASETS:
        with pytest.raises(UserError, match=str(tmp_path)):
            read(name, tmp_path)


def test_folders_of_the_right_names_without_the_right_pictures_are_no_benchmark(tmp_path: Path) -> None:
    folders = {"bounding_box_train": "to train", "query": "that ask", "bounding_box_test": "in the gallery"}
    for folder in folders:
        touch(tmp_path / folder, ["0003_c2_f0046182.jpg"])  # Duke's
    for folder, missing in folders.items():
        with pytest.raises(UserError, match=rf"market1501 has no pictures {missing} there"):
            read("market1501", tmp_path)
        touch(tmp_path / folder, ["0002_c1s1_000451_03.jpg"])
    assert len(read("market1501", tmp_path).tracklets) == 3


def test_market1501(tmp_path: Path) -> None:
    touch(
        tmp_path / "bounding_box_train", ["0002_c1s1_000451_03.jpg", "Thumbs.db", "0007_c3s3_077419_03.jpg"]
    )
    touch(tmp_path / "query", ["0001_c1s1_001051_00.jpg"])
    touch(
        tmp_path / "bounding_box_test",
        ["-1_c1s1_000401_03.jpg", "0000_c6s4_000151_01.jpg", "0001_c2s1_000301_00.jpg"],
    )
    found = read("market1501", tmp_path)
    assert sorted(roles(found).values()) == [
        (-1, False, True), (0, False, True), (1, False, True), (1, True, False), (2, False, False), (7, False, False),
    ]  # fmt: skip
    assert market1501.named("0007_c3s3_077419_03.jpg") == (7, "c3", 3 * DAY_US + 77419 * 40_000)
    assert market1501.named("0007_c3s3_077419_03.png") is None


def test_halves_of_a_folder_of_images(tmp_path: Path) -> None:
    touch(
        tmp_path,
        [f"{p:04d}_c{c}s1_{p:06d}_01.jpg" for p in range(1, 11) for c in (1, 2)]
        + ["0000_c1s1_000001_01.jpg"],
    )
    first, again, other = (read("market-half", tmp_path, trial) for trial in (0, 0, 1))
    people = first.tracklets.groupby("part").pid.unique().map(set)
    assert len(people["train"]) == 5 and not people["train"] & people["test"] and 0 in people["test"]
    pd.testing.assert_frame_equal(first.tracklets, again.tracklets)
    assert set(other.tracklets.pid[other.tracklets.part == "train"]) != people["train"]


def test_mars(tmp_path: Path) -> None:
    names = {"train": ["0001C1T0001F001.jpg", "0001C1T0001F002.jpg", "0003C2T0001F001.jpg"],
             "test": ["00-1C1T0001F001.jpg", "0000C1T0001F001.jpg", "0002C1T0001F001.jpg", "0002C2T0001F001.jpg"]}  # fmt: skip
    info = tmp_path / "info"
    info.mkdir()
    for part, files in names.items():
        touch(tmp_path / f"bbox_{part}", [f"{name[:4]}/{name}" for name in files])
        (info / f"{part}_name.txt").write_text("\n".join(files) + "\n")
    scipy.io.savemat(info / "tracks_train_info.mat", {"track_train_info": [[1, 2, 1, 1], [3, 3, 3, 2]]})
    scipy.io.savemat(
        info / "tracks_test_info.mat",
        {"track_test_info": [[1, 1, -1, 1], [2, 2, 0, 1], [3, 3, 2, 1], [4, 4, 2, 2]]},
    )
    scipy.io.savemat(info / "query_IDX.mat", {"query_IDX": [[3]]})
    found = read("mars", tmp_path)
    assert roles(found) == {
        "train/00000": (1, False, False), "train/00001": (3, False, False), "test/00000": (-1, False, True),
        "test/00001": (0, False, True), "test/00002": (2, True, True), "test/00003": (2, False, True),
    }  # fmt: skip
    assert all(Path(path).is_file() for path in found.images.path) and len(found.images) == 7


def test_msmt17_numbers_the_people_of_its_parts_anew(tmp_path: Path) -> None:
    for name, line in (("train", "0000/0000_000_01_0303morning_0008_0.jpg 0"), ("val", "0001/0001_000_15_0303noon_0008_0.jpg 1"),
                       ("query", "0000/0000_000_01_0303noon_0008_0.jpg 0"), ("gallery", "0000/0000_001_14_0303noon_0009_1.jpg 0")):  # fmt: skip
        (tmp_path / f"list_{name}.txt").write_text(line + "\n\n")
        touch(tmp_path / ("train" if name in ("train", "val") else "test"), [line.split()[0]])
    t = read("msmt17", tmp_path).tracklets
    assert t.camera_id.tolist() == ["c14", "c01", "c01", "c15"] and t["query"].sum() == t.gallery.sum() == 1
    assert not set(t.pid[t.part == "train"]) & set(t.pid[t.part == "test"])


def test_dukemtmc(tmp_path: Path) -> None:
    pid, camera, t_us = dukemtmc.named("0001_c2_f0046182.jpg") or (0, "", 0)
    assert (pid, camera) == (1, "c2") and t_us == pytest.approx((46182 + 3607) / 59.94 * 1e6, abs=1)
    assert dukemtmc.named("0001_c9.jpg") is None
    touch(tmp_path, ["train/0001/0000/0001_C5_F0001_X207687.jpg", "train/0001/0000/0001_C5_F0002_X207717.jpg",
                     "query/0002/0001/0002_C1_F0001_X1.jpg", "gallery/0002/0002/0002_C2_F0001_X1.jpg"])  # fmt: skip
    found = read("dukemtmc-videoreid", tmp_path)
    assert roles(found) == {"train/train/0001/0000": (1, False, False), "test/query/0002/0001": (2, True, False),
                            "test/gallery/0002/0002": (2, False, True)}  # fmt: skip
    assert found.tracklets.set_index("tracklet_id").camera_id["train/train/0001/0000"] == "c5"


def test_dukemtmc_by_person_and_camera_for_tastr(tmp_path: Path) -> None:
    names = ["0001_c2_f0000300.jpg", "0001_c2_f0000100.jpg", "0001_c3_f0000100.jpg", "0007_c2_f0000100.jpg"]
    touch(tmp_path / "bounding_box_train", names)
    touch(tmp_path / "query", ["0002_c1_f0000001.jpg"])
    touch(tmp_path / "bounding_box_test", ["0002_c2_f0000001.jpg", "-1_c2_f0000001.jpg"])
    found = read("dukemtmc-reid-tracklets", tmp_path)
    assert found.timed and found.synchronous
    images = found.images.groupby("tracklet_id").path.agg(list)
    assert [Path(p).name for p in images["train/c2/0001"]] == [names[1], names[0]]  # in order of time
    assert (found.tracklets.part == "train").sum() == 3 and roles(found)["train/c2/0007"] == (7, False, False)
    # The same files as the image benchmark: as many tracklets as images.
    assert (read("dukemtmc-reid", tmp_path).tracklets.part == "train").sum() == 4


def test_dukemtmc_video_of_either_naming(tmp_path: Path) -> None:
    touch(tmp_path, ["train/0001/0000/0001C6F0099X30823.jpg", "query/0002/0001/0002C1F0001X1.jpg",
                     "gallery/0002/0002/0002C2F0001X1.jpg"])  # fmt: skip
    assert read("dukemtmc-videoreid", tmp_path).tracklets.camera_id.tolist() == ["c2", "c1", "c6"]
    touch(tmp_path, ["train/0003/0000/nonsense.jpg"])
    with pytest.raises(UserError, match=r"nonsense\.jpg: no camera in its name"):
        read("dukemtmc-videoreid", tmp_path)


def test_files_cut_short_are_named(tmp_path: Path) -> None:
    test_mars(tmp_path)
    (tmp_path / "info" / "test_name.txt").write_text("0002C1T0001F001.jpg\n")
    with pytest.raises(UserError, match=r"test_name\.txt: 1 names, and the tables speak of 4"):
        read("mars", tmp_path)
    path = tmp_path / "info" / "query_IDX.mat"
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(UserError, match=r"query_IDX\.mat: cannot be read"):
        read("mars", tmp_path)


def test_campus4k_has_times(tmp_path: Path) -> None:
    touch(
        tmp_path,
        [f"{f}/0005/1/0005_C3_F{n:05d}.jpg" for f in ("train", "query", "gallery") for n in (30, 60)],
    )
    found = read("campus4k", tmp_path)
    assert found.timed and (found.tracklets.t_end_us - found.tracklets.t_start_us == 1_000_000).all()
    assert set(found.tracklets.camera_id) == {"c3"}


def test_ls_vid(tmp_path: Path) -> None:
    (tmp_path / "list_sequence").mkdir()
    (tmp_path / "test" / "data").mkdir(parents=True)
    for part, rows in (
        ("train", ["7/0007_000_04"]),
        ("test", ["1/0001_000_01", "1/0001_001_15", "9/0009_000_02"]),
    ):
        touch(tmp_path / f"tracklet_{part}", [f"{row}_{n:04d}.jpg" for row in rows for n in range(2)])
        lines = [f"tracklet_{part}/{row} {int(row[0])}" for row in rows]
        (tmp_path / "list_sequence" / f"list_seq_{part}.txt").write_text("\n".join(lines) + "\n")
    with h5py.File(tmp_path / "test" / "data" / "info_test.mat", "w") as file:
        file["query"] = np.array([[2.0]])
    t = read("ls-vid", tmp_path).tracklets.set_index("tracklet_id")
    assert t.camera_id.to_dict() == {
        "train/00000": "c4",
        "test/00000": "c1",
        "test/00001": "c15",
        "test/00002": "c2",
    }
    assert t.index[t["query"]].tolist() == ["test/00001"] and t.gallery.sum() == 3


def prid(
    root: Path, *, persons_a: int = 385, persons_b: int = 749, short: frozenset[int] = frozenset()
) -> None:
    """The layout of multi_shot: 27 frames each, fewer for the short ones and for strangers."""
    for camera, persons in (("cam_a", persons_a), ("cam_b", persons_b)):
        for person in range(1, persons + 1):
            frames = 27 if person <= 200 and person not in short else 2
            touch(
                root / "multi_shot" / camera / f"person_{person:04d}",
                [f"{n:04d}.png" for n in range(1, frames + 1)],
            )


def test_prid2011_takes_the_178_long_ones(tmp_path: Path) -> None:
    prid(tmp_path, persons_a=203, persons_b=202, short=frozenset(range(10, 32)))
    t = read("prid2011", tmp_path, 3).tracklets
    assert t.groupby("part").pid.nunique().to_dict() == {"train": 89, "test": 89}
    assert t["query"].sum() == t.gallery.sum() == 89
    assert set(t.camera_id[t["query"]]) == {"cam_a"} and set(t.camera_id[t.gallery]) == {"cam_b"}
    other = read("prid2011", tmp_path, 4).tracklets
    assert set(t.pid[t.part == "test"]) != set(other.pid[other.part == "test"])


def test_any_benchmark_can_be_made_noisy(tmp_path: Path) -> None:
    prid(tmp_path, persons_a=40, persons_b=40)
    clean, noisy = (read(name, tmp_path) for name in ("prid2011", "prid2011@1.5_1.2"))
    counts = [len(found.tracklets[found.tracklets.part == "train"]) for found in (clean, noisy)]
    assert counts[1] == pytest.approx(counts[0] * 1.5 / 1.2, abs=1)
    assert not noisy.timed
    test = [found.tracklets[found.tracklets.part == "test"].tracklet_id.tolist() for found in (clean, noisy)]
    assert test[0] == test[1]
    with pytest.raises(UserError, match=r"DATASET=prid2011@0\.5_1: rates are at least 1"):
        read("prid2011@0.5_1", tmp_path)


@pytest.mark.slow
def test_prid2011_in_the_wild(tmp_path: Path) -> None:
    prid(tmp_path)
    t = read("prid2011-wild", tmp_path).tracklets
    train = t[t.part == "train"]
    cameras = train.groupby("pid").camera_id.nunique()
    assert len(train) == 600 and (cameras == 2).sum() == 100
    assert train.camera_id.value_counts().to_dict() == {"cam_a": 285, "cam_b": 315}
    assert t["query"].sum() == t.gallery.sum() == 100


def test_every_published_figure_has_a_config_that_loads() -> None:
    from pipeline import config, graph

    figures = yaml.safe_load(Path("data/datasets/published.yaml").read_text(encoding="utf-8"))
    for dataset, methods in figures.items():
        assert dataset.partition("@")[0] in benchmark.DATASETS
        for method, values in methods.items():
            assert 0 < values["rank1"] < 100 and values["from"]
            file = config.published(dataset, method)
            assert file is not None
            config.load({"run": config.RunSettings, **graph.sections(method)}, file, [])


@pytest.mark.footage
def test_real_lists_of_market1501(footage: Path) -> None:
    lists = footage / "reid" / "lists"
    names = {part: [line.split()[0] for line in (lists / f"market1501_{part}.list").read_text().splitlines()]
             for part in ("train", "query", "test")}  # fmt: skip
    found = {part: [market1501.named(name) for name in rows] for part, rows in names.items()}
    assert all(f is not None for rows in found.values() for f in rows)
    people = {part: [f[0] for f in rows if f] for part, rows in found.items()}
    assert [len(people[p]) for p in ("train", "query", "test")] == [12936, 3368, 19732]
    assert len(set(people["train"])) == 751 and len(set(people["query"])) == 750
    assert people["test"].count(-1) == 3819 and people["test"].count(0) == 2798
    assert set(people["query"]) == set(people["test"]) - {-1, 0} and not set(people["query"]) & set(
        people["train"]
    )


@pytest.mark.footage
def test_real_tables_of_mars(footage: Path) -> None:
    train, test, queries = mars.tracks(footage / "reid" / "lists", prefix="mars_")
    assert train.shape == (8298, 4) and test.shape == (12180, 4) and queries.shape == (1980,)
    assert (
        len(set(train[:, 2])) == 625
        and len(set(test[:, 2]) - {-1, 0}) == 634
        and len(set(test[queries, 2])) == 626
    )
    assert (test[:, 2] == -1).sum() == 870 and (test[:, 2] == 0).sum() == 3248
    assert set(train[:, 3]) == set(test[:, 3]) == {1, 2, 3, 4, 5, 6}
    assert (test[queries, 2] > 0).all()
    # Ranges of boxes follow one another without a hole.
    for table in (train, test):
        assert table[0, 0] == 1 and (table[1:, 0] == table[:-1, 1] + 1).all()


@pytest.mark.footage
def test_140_queries_of_mars_have_no_match_without_the_other_queries(footage: Path) -> None:
    from stages.evaluation.ranking import rank

    _, test, queries = mars.tracks(footage / "reid" / "lists", prefix="mars_")
    pid, camera = test[:, 2], test[:, 3]

    def without_match(gallery: np.ndarray) -> int:
        nothing = np.zeros((len(queries), len(gallery)), np.float32)
        found = rank(nothing, pid[queries], pid[gallery], camera[queries], camera[gallery])
        return int((found.n_matches == 0).sum())

    everybody = np.arange(len(test))
    assert without_match(everybody) == 0 and without_match(np.setdiff1d(everybody, queries)) == 140


@pytest.mark.footage
def test_real_ilids_vid(footage: Path) -> None:
    root = footage / "reid" / "ilids-vid-subset"
    t = read("ilids-vid", root, 0).tracklets
    assert t.groupby("part").pid.nunique().to_dict() == {"train": 150, "test": 150}
    assert t["query"].sum() == t.gallery.sum() == 150
    wild = read("ilids-vid-wild", root, 0).tracklets
    train = wild[wild.part == "train"]
    assert train.camera_id.value_counts().to_dict() == {"cam1": 100, "cam2": 100}
    assert (train.groupby("pid").camera_id.nunique() == 2).sum() == 50
    assert set(wild.tracklet_id[wild.part == "test"]) == set(t.tracklet_id[t.part == "test"])
