"""Pairs, intervals, split tracklets, retrieval: each against a second writing or a world known by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import tracklet_rows
from stages.evaluation import bootstrap, comparison, link_accuracy, retrieval, truth_crops
from stages.evaluation.text_table import empty_metrics, format_metrics


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# pairs ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3), st.sampled_from("abc")), max_size=15))
def test_identity_pairs_against_counting(rows: list[tuple[int, int, str]]) -> None:
    across = [(a, b) for a, b in itertools.combinations(rows, 2) if a[2] != b[2]]
    linked = [(a, b) for a, b in across if a[0] == b[0]]
    true = [(a, b) for a, b in across if a[1] == b[1] >= 0]
    hits = [p for p in linked if p in true and p[0][1] == p[1][1] >= 0]
    identity, pid, camera = (np.array(c) for c in zip(*rows, strict=True)) if rows else (np.zeros(0),) * 3
    found = link_accuracy.identity_scores(identity, pid, camera)
    assert found["precision"] == (pytest.approx(len(hits) / len(linked)) if linked else None)
    assert found["recall"] == (pytest.approx(len(hits) / len(true)) if true else None)


def test_links_of_a_round() -> None:
    person = pd.Series({"a1": 1, "a2": 2, "b1": 1, "b2": 2, "b3": 1, "c1": -1, "c2": -1})
    camera = pd.Series({t: t[0] for t in person.index})
    links = pd.DataFrame(
        [("a1", "b1", True), ("a2", "b1", True), ("b3", "a1", False), ("b1", "b3", True), ("a1", "c1", True)],
        columns=["tracklet_a", "tracklet_b", "kept"],
    )
    # Kept across cameras: a1-b1 right, a2-b1 wrong, a1-c1 nobody. True pairs: a1-b1, a1-b3, a2-b2.
    assert link_accuracy.link_scores(links, person, camera) == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 3, "f": 1 / 3, "pairs": 3}
    )
    few = link_accuracy.link_scores(links[:1], person, camera)
    assert (
        few["precision"] == 1 and few["recall"] == pytest.approx(1 / 3) and few["f"] == pytest.approx(1 / 2)
    )
    assert link_accuracy.link_scores(links[:0], person, camera) == {
        "precision": None,
        "recall": 0.0,
        "f": 0.0,
        "pairs": 0,
    }


# intervals ------------------------------------------------------------------------------------------------------------


def test_weights_draw_persons_whole() -> None:
    pid = np.array([5, 5, 9, 2, 9, 5])
    weights = bootstrap.person_weights(pid, seed=1, draws=500)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()
    assert (weights == bootstrap.person_weights(pid, seed=1, draws=500)).all()


def test_interval_agrees_with_a_loop_and_with_the_normal_one() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(400) < 0.6).astype(float)
    low, high = bootstrap.interval(values, bootstrap.person_weights(np.arange(400), 0, 4000)) or (0, 0)
    half = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    means = [rng.choice(values, 400).mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)


def test_paired_differences_are_narrower_than_unpaired_ones() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    worse = pd.DataFrame(
        {"query_id": np.arange(200).astype(str), "pid": np.arange(200) // 3, "first_match_rank": (hard > 0.5) * 1,
         "average_precision": hard, "inverse_negative_penalty": hard}
    )  # fmt: skip
    better = worse.assign(first_match_rank=(hard > 0.6) * 1, average_precision=hard + 0.1)
    found = comparison.intervals({"start": worse, "final": better}, seed=0, draws=500)
    assert found["final_minus_start"]["mean_ap"] == pytest.approx([0.1, 0.1])
    assert found["start"]["mean_ap"][1] - found["start"]["mean_ap"][0] > 0.05
    low, high = found["final_minus_start"]["rank1"]
    assert 0 < low < 0.1 < high < found["final"]["rank1"][1] - found["start"]["rank1"][0]
    with pytest.raises(ValueError, match="final"):
        comparison.intervals({"start": worse, "final": better[::-1]}, seed=0, draws=500)


def test_gap_closed() -> None:
    summary = {
        "start": {"rank1": 0.2, "mean_ap": 0.3},
        "final": {"rank1": 0.5, "mean_ap": 0.4},
        "supervised": {"rank1": 0.6, "mean_ap": 0.3},
    }
    assert comparison.gap_closed(summary) == {"rank1": pytest.approx(0.75), "mean_ap": None}
    assert comparison.fraction_of_supervised(summary) == pytest.approx({"rank1": 5 / 6, "mean_ap": 4 / 3})
    del summary["supervised"]
    assert (
        comparison.gap_closed(summary)
        == comparison.fraction_of_supervised(summary)
        == {"rank1": None, "mean_ap": None}
    )


# split tracklets ------------------------------------------------------------------------------------------------------


def test_halves_leave_a_gap_and_leave_out_short_tracklets() -> None:
    crops = pd.DataFrame(
        {"tracklet_id": list("a" * 10 + "b" * 5 + "c" * 4), "t_utc_us": [*range(10), *range(5), *range(4)]}
    )
    half = tracklet_rows.split_halves(crops)
    assert half.tolist() == [0] * 4 + [-1] * 2 + [1] * 4 + [0, 0, -1, 1, 1] + [-1] * 4
    mixed = crops.sample(frac=1, random_state=3)
    assert tracklet_rows.split_halves(mixed).tolist() == half[mixed.index].tolist()


# confusions -----------------------------------------------------------------------------------------------------------


def test_the_worst_answers_are_those_whose_match_ranks_lowest() -> None:
    gallery = pd.DataFrame(
        [(f"{c}/{p}", p, c, p != 9) for c in "ab" for p in (1, 2, 3)] + [("b/9", 9, "b", False)],
        columns=["query_id", "pid", "camera_id", "is_query"],
    )
    angle = np.array([0, 1.0, 2.0, 0.1, 2.1, 1.2, 0.9])  # 2 of a is nearest to 9, then to 3; 3 of a to 2
    features = np.stack([np.cos(angle), np.sin(angle)], 1)
    found = retrieval.confusions(features, gallery, max_items=10)
    rows = retrieval.headline(features, gallery)
    wrong = rows[rows.first_match_rank > 0].sort_values("first_match_rank", ascending=False)
    asked = found[found.role == "query"]
    assert sorted(asked.query_id) == sorted(wrong.query_id) and len(asked) >= 2
    ranks = found[found.role == "match"]["rank"].tolist()
    assert ranks == sorted(ranks, reverse=True) == wrong.first_match_rank.tolist()
    first = found[found.query_id.eq("a/2") & found.role.eq("query")].place.iloc[0]
    of_two = found[found.place == first].set_index("role")
    assert of_two.query_id["answer"] == "b/9" and of_two.query_id["match"] == "b/2"
    assert len(retrieval.confusions(features, gallery, max_items=1)) == 3
    assert retrieval.confusions(features, gallery, max_items=0).empty


# truth crops ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 9))
@settings(max_examples=60)
def test_evenly_takes_what_linspace_takes(sizes: list[int], count: int) -> None:
    group = pd.Series(np.repeat(np.arange(len(sizes)), sizes)).sample(frac=1, random_state=0)
    taken = tracklet_rows.evenly(group, count)
    for g, n in enumerate(sizes):
        places = np.flatnonzero(taken[(group == g).to_numpy()])
        if n <= count:
            expected = np.arange(n)
        else:
            expected = np.linspace(0, n - 1, count).astype(int) if count > 1 else np.array([n // 2])
        assert np.abs(places - expected).max() <= 1 and len(places) == min(n, count)
        if count > 1:
            assert places[0] == 0 and places[-1] == n - 1


def test_hidden_boxes_are_not_chosen() -> None:
    truth = pd.DataFrame(
        {"video_id": "v", "frame": range(10), "t_utc_us": range(10), "pid": [1] * 8 + [2] * 2, "camera_id": "c",
         "visibility": [0.1, 0.2, 0.5, 0.9, 0.9, 0.9, 0.9, 0.3, 0.1, 0.39]}
    )  # fmt: skip
    chosen = truth_crops.choose(truth, per_appearance=2)
    assert chosen.frame.tolist() == [2, 6] and set(chosen.query_id) == {"c/1"}


# retrieval ------------------------------------------------------------------------------------------------------------


def gallery_of(*names: str) -> pd.DataFrame:
    crops = pd.DataFrame(
        {"tracklet_id": names, "camera_id": [n[0] for n in names], "pid": [int(n[2:]) for n in names]}
    )
    people = pd.DataFrame(
        {"pid": [1, 2, 3, 4], "role": ["test", "test", "test", "both"], "n_cameras": [2, 2, 1, 2]}
    )
    return retrieval.appearances(crops, people)


def test_who_asks_and_who_stands_in_the_gallery() -> None:
    gallery = gallery_of("a/1", "b/1", "a/2", "c/2", "b/3", "a/4", "b/4", "a/1")
    assert dict(zip(gallery.query_id, gallery.is_query, strict=True)) == {
        "a/1": True, "a/2": True, "b/1": True, "b/3": False, "c/2": True,
    }  # fmt: skip


def naive_headline(features: np.ndarray, gallery: pd.DataFrame) -> list[tuple[int, float]]:
    """As shared/footage/reference.py ranks: own camera out, average precision over the sorted rest."""
    rows = []
    pid, camera = gallery.pid.to_numpy(), gallery.camera_id.to_numpy()
    for q in np.flatnonzero(gallery.is_query):
        others = camera != camera[q]
        order = np.argsort(-features[others] @ features[q])
        hits = np.flatnonzero((pid[others] == pid[q])[order])
        rows.append((hits[0], np.mean((np.arange(len(hits)) + 1) / (hits + 1))))
    return rows


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_headline_against_a_loop(seed: int) -> None:
    gallery = gallery_of("a/1", "b/1", "c/1", "a/2", "c/2", "b/3")
    features = unit(np.random.default_rng(seed).normal(size=(len(gallery), 4)))
    rows = retrieval.headline(features, gallery)
    expected = naive_headline(features, gallery)
    assert rows.first_match_rank.tolist() == [f for f, _ in expected]
    assert rows.average_precision.to_numpy() == pytest.approx([a for _, a in expected])


def test_end_to_end_counts_what_the_tracker_lost() -> None:
    gallery = gallery_of("a/1", "b/1", "c/1", "a/2", "b/2", "a/3")
    own = pd.DataFrame(
        [("t1", "a", 9, 1), ("t2", "a", 3, 1), ("t3", "b", 5, 1), ("t4", "a", 5, 2), ("t5", "b", 5, -1)],
        columns=["tracklet_id", "camera_id", "n_boxes", "pid"],
    )
    features = np.eye(5)[[0, 1, 0, 2, 3]]
    rows = retrieval.end_to_end(features, own, gallery).set_index("query_id")
    # a/1 asks with t1, not with the shorter t2: t3 first, but camera c never saw person 1: half of the two matches.
    assert rows.loc["a/1", ["first_match_rank", "average_precision"]].tolist() == [0, 0.5]
    # b/1 asks with t3; its matches t1 (near) and t2; c is missing: 1, then t2 tied with t4 and ranked after it.
    assert rows.loc["b/1", "first_match_rank"] == 0
    assert rows.loc["b/1", "average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 3)
    # c/1 and b/2 have no tracklet; a/2 has one, but nothing to find.
    assert rows.first_match_rank[["c/1", "b/2", "a/2"]].tolist() == [-1, -1, -1]
    assert rows.average_precision[["c/1", "b/2", "a/2"]].tolist() == [0, 0, 0]
    # A match that is never found has no last rank.
    assert rows.inverse_negative_penalty.tolist() == [0] * 5
    assert retrieval.summary(rows.reset_index()) == pytest.approx(
        {
            "rank1": 2 / 5,
            "rank5": 2 / 5,
            "rank10": 2 / 5,
            "mean_ap": (0.5 + (1 + 2 / 3) / 3) / 5,
            "mean_inp": 0,
        }
    )


def test_camera_pairs_ask_one_gallery_at_a_time() -> None:
    gallery = gallery_of("a/1", "b/1", "c/1", "a/2", "b/2", "b/3")
    appearance = {"a/1": 0, "b/1": 1, "c/1": 0, "a/2": 1, "b/2": 1, "b/3": 2}
    features = np.eye(4)[[appearance[q] for q in gallery.query_id]]
    # a/1 is nearest to c/1 but in b nothing of it is near; a/2 is b/2, and b/1 too: tied, and so to its disadvantage.
    found = retrieval.camera_pairs(features, gallery)
    assert found["a → c"] == {"rank1": 1.0, "queries": 1}
    assert found["a → b"] == {"rank1": 0.0, "queries": 2}
    assert set(found) == {"a → b", "a → c", "b → a", "b → c", "c → a", "c → b"}
    assert found["b → a"]["queries"] == 2  # b/3 was seen by nobody else


def test_perfect_tracklets_give_the_headline_again() -> None:
    gallery = gallery_of("a/1", "b/1", "c/1", "a/2", "c/2", "b/3")
    features = unit(np.random.default_rng(3).normal(size=(len(gallery), 4)))
    own = gallery.assign(tracklet_id=gallery.query_id, n_boxes=5)
    pd.testing.assert_frame_equal(
        retrieval.end_to_end(features, own, gallery), retrieval.headline(features, gallery)
    )


def test_no_tracklet_at_all_is_all_wrong() -> None:
    gallery = gallery_of("a/1", "b/1")
    none = pd.DataFrame({"tracklet_id": [], "camera_id": [], "n_boxes": [], "pid": []}).astype({"pid": int})
    assert retrieval.summary(retrieval.end_to_end(np.zeros((0, 1)), none, gallery)) == {
        "rank1": 0, "rank5": 0, "rank10": 0, "mean_ap": 0, "mean_inp": 0,
    }  # fmt: skip


# table ----------------------------------------------------------------------------------------------------------------


def test_the_table_says_so_where_there_is_no_truth() -> None:
    text = format_metrics(empty_metrics())
    assert "no truth was given" in text and "NaN" not in text and "association" not in text


def test_the_table_prints_the_measures_in_per_cent() -> None:
    metrics = empty_metrics()
    metrics["people"] = {"train": 50, "test": 50, "both": 0, "distractors": 2, "queries": 150}
    metrics["reid"]["start"] = {"rank1": 0.358, "mean_ap": 0.348}
    metrics["reid"]["rounds"] = [{"round": 0, "rank1": 0.5, "mean_ap": 0.4}]
    metrics["intervals"] = {"start": {"rank1": [0.29, 0.43], "mean_ap": [0.3, 0.4]}}
    metrics["tracking"]["r_fm"] = 1.25
    text = format_metrics(metrics)
    assert (
        "35.8" in text
        and "29.0 to 43.0" in text
        and "after round 0" in text
        and "1.25" in text
        and "–" in text
    )
