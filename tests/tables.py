"""Rows of manifests for tests: what every file has, beside what a test is about."""

import pandas as pd


def whole_files(videos: pd.DataFrame) -> pd.DataFrame:
    """VIDEOS of files that are in order and looked at from end to end, from a table of the other columns."""
    counts = {name: videos[name].astype("int32") for name in ("frames", "width", "height") if name in videos}
    return videos.assign(
        t_from_us=videos.t_start_us, t_until_us=videos.t_end_us, stamped_fps=videos.fps, grey_fraction=0.0, damaged=0,
        repaired_times=0, whole=(videos.status == "ok") & (videos.note == ""), **counts,
    ).astype({"damaged": "int32", "repaired_times": "int32"})  # fmt: skip
