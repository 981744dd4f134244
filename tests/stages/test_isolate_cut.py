"""Training may not look past the cut: whoever is in view then becomes two tracklets, and eps is read before it."""

import pandas as pd

from stages.isolate import split_at


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
    boxes["frame"], boxes["score"] = boxes.t_utc_us // 10, 0.5
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
