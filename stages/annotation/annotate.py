"""The command `annotate`: opens a run, serves the page, says what was found when it ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from camera_topology.site import Site


def annotate(
    run: Path, site: Site, settings: Any, device: str, port: int = 0, export_to: Path | None = None
) -> None:
    """Serve until interrupted, or write the answers given so far where a file to export to is named.

    Args:
        site, settings, device: of the run; settings are those of `identify`.
        port: of the page; 0 takes a free one.
    """
    from data import pair_annotations
    from stages.annotation import questions
    from stages.annotation.server import export, open_session, server

    if export_to is not None:
        print(f"{export(run / pair_annotations.PLACE, export_to)} answers: {export_to}")
        return
    session = open_session(run, lambda: log_odds_of(run, site, settings, device), settings.min_log_odds)
    with server(session, port) as listening:
        print(
            f"open http://127.0.0.1:{listening.server_address[1]}/ in a browser on this machine; Ctrl-C ends",
            flush=True,
        )
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            print()
    said = pair_annotations.read(session.answers)
    found = questions.precision(session.probe, said)
    if found.answered:
        print(
            f"{found.right} of {found.answered} random pairs are one person: {found.right / found.answered:.0%}, "
            f"95 % interval {found.low:.0%} to {found.high:.0%}; {found.unsure} cannot be told"
        )
    bound = len(pair_annotations.links(session.answers))
    print(f"{len(said)} answers in {session.answers}; {bound} of them bind the next `make all RUN={run}`")


def log_odds_of(run: Path, site: Site, settings: Any, device: str) -> np.ndarray:
    """(T, T) log-odds of "same person" of a finished run's tracklets in order of their ids, before any answer."""
    from data.tracklet_rows import evenly
    from pipeline import schema
    from pipeline.manifests import BOXES, CROPS, TRACKLETS, VIDEOS
    from stages.association.foot_points import feet_of
    from stages.association.grouping import score_tracklet_pairs
    from stages.association.time_prior import dense_prior
    from stages.network.embedding import cached_features
    from stages.network.run_models import CHECKPOINT
    from stages.training.training_part import clock_std_s

    tracklets = schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file)
    tracklets = tracklets.sort_values("tracklet_id").reset_index(drop=True)
    crops = schema.read(CROPS, run / "isolate" / CROPS.file)
    crops = crops.sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    crops = crops[evenly(crops.tracklet_id, settings.crops_per_tracklet)].reset_index(drop=True)
    features = cached_features(run / "identify" / CHECKPOINT, crops, run, device)
    clocks = clock_std_s(schema.read(VIDEOS, run / "ingest" / VIDEOS.file))
    feet = feet_of(site, tracklets, schema.read(BOXES, run / "isolate" / BOXES.file))
    prior = dense_prior(site, tracklets, clocks, feet, settings.sigma_fraction)
    return score_tracklet_pairs(features, crops, tracklets, prior, settings).evidence.log_odds
