"""Where a tracklet ends by rule: at the cut, past which training may not look, and where the tracker was unsure."""

import pandas as pd

from stages.isolate import split_at, split_unclear


def world():
    tracklets = pd.DataFrame(
        {"tracklet_id": ["a", "b", "c"], "parent_id": ["a", "b", "c"], "camera_id": ["x", "x", "y"],
         "t_start_us": [0, 50, 120], "t_end_us": [90, 200, 150], "n_boxes": [10, 16, 4], "mean_score": [0.9, 0.8, 0.7]}
    ).astype({"n_boxes": "int32", "mean_score": "float32"})  # fmt: skip
    boxes = pd.concat(
        [
            pd.DataFrame(
                {"tracklet_id": row.tracklet_id, "t_utc_us": range(row.t_start_us, row.t_end_us + 1, 10)}
            )
            for row in tracklets.itertuples()
        ],
        ignore_index=True,
    )
    boxes["frame"], boxes["score"], boxes["video_id"] = boxes.t_utc_us // 10, 0.5, "v"
    boxes["overlap"], boxes["margin"] = 1.0, 1.0
    return tracklets, boxes, boxes[::2].reset_index(drop=True)


def test_who_is_in_view_at_the_cut_becomes_two():
    before = world()
    tracklets, boxes, crops = split_at(*before, 100)
    assert sorted(tracklets.tracklet_id) == ["a", "b.after", "b.before", "c"]
    of = tracklets.set_index("tracklet_id")
    assert (of.t_start_us["b.before"], of.t_end_us["b.before"]) == (
        50,
        100,
    )  # the instant belongs to the time before
    assert (of.t_start_us["b.after"], of.t_end_us["b.after"]) == (110, 200)
    assert of.parent_id["b.after"] == "b" and of.camera_id["b.after"] == "x"
    assert of.n_boxes["b.before"] + of.n_boxes["b.after"] == 16
    assert len(boxes) == len(before[1]) and len(crops) == len(before[2])
    for table in (boxes, crops):
        late = table.tracklet_id.isin(["b.after", "c"])
        assert ((table.t_utc_us > 100) == late).all()
    assert tracklets.dtypes.equals(before[0].dtypes)


def test_a_cut_between_recordings_changes_nothing():
    before = world()
    for t_us in (-1, 300):
        assert all(a is b for a, b in zip(split_at(*before, t_us), before, strict=True))


def test_an_unclear_match_begins_a_tracklet_anew():
    tracklets, boxes, crops = world()
    boxes.loc[(boxes.tracklet_id == "b") & boxes.t_utc_us.isin([100, 110]), "margin"] = [0.01, -0.2]
    boxes.loc[(boxes.tracklet_id == "c"), "margin"] = 0.03
    new, new_boxes, new_crops = split_unclear(tracklets, boxes, crops, 0, 0.03, 40e-6)
    assert sorted(new.tracklet_id) == ["a", "b-0", "b-2", "c"]  # b-1 is a single box
    of = new.set_index("tracklet_id")
    assert (of.t_end_us["b-0"], of.t_start_us["b-2"], of.t_end_us["b-2"]) == (90, 110, 200)
    assert of.parent_id["b-0"] == of.parent_id["b-2"] == "b"
    assert len(new_boxes) == len(boxes) - 1 == new.n_boxes.sum()
    assert set(new_crops.tracklet_id) <= set(new.tracklet_id)
    for name, rows in new_crops.groupby("tracklet_id"):
        assert rows.t_utc_us.between(of.t_start_us[name], of.t_end_us[name]).all()
    assert len(new_crops) == len(crops) - (100 in set(crops.t_utc_us[crops.tracklet_id == "b"]))
    never = split_unclear(tracklets, boxes, crops, 0, -1, 40e-6)
    assert sorted(never[0].tracklet_id) == ["a", "b", "c"] and len(never[1]) == len(boxes)


def test_a_piece_of_a_piece_has_the_trackers_tracklet_as_its_parent():
    tracklets, boxes, crops = world()
    boxes.loc[(boxes.tracklet_id == "b") & (boxes.t_utc_us == 80), "overlap"] = 0.2
    new, *_ = split_at(*split_unclear(tracklets, boxes, crops, 0.3, -1, 20e-6), 100)
    assert sorted(new.tracklet_id) == ["a", "b-0", "b-1.after", "b-1.before", "c"]
    assert set(new.parent_id) == {"a", "b", "c"}
