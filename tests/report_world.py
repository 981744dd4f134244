"""A finished run as the stages before the report leave it: a small world with coloured people, for tests of the page."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from camera_topology.site import Site
from camera_topology.site_schema import SiteFile
from pipeline import manifests, schema
from pipeline.stage import Context
from stages.report import ReportConfig
from stages.validation.verdict import WITNESSES
from tests.tables import whole_files

DAY_US = 1_777_622_400_000_000  # 2026-05-01T08:00:00Z
S = 1_000_000


def coloured(person: int, camera: int) -> np.ndarray:
    """(96, 40, 3) uint8: a patch whose colour tells the person and whose brightness tells the camera."""
    image = np.full((96, 40, 3), 40 + 20 * camera % 160, np.uint8)
    image[20:70, 8:32] = [(person * 53) % 256, (person * 97) % 256, (person * 151) % 256]
    return image


def a_site(cameras: Sequence[str], timezone: str) -> Site:
    """Neighbours in the list are linked, 12 m apart, and the cameras stand in a row."""
    return Site(
        SiteFile.model_validate(
            {
                "site": {"timezone": timezone},
                "cameras": [
                    {"id": c, "position": {"x_m": 10 * i, "y_m": i % 2}} for i, c in enumerate(cameras)
                ],
                "links": [{"from": a, "to": b, "distance_m": 12} for a, b in itertools.pairwise(cameras)],
            }
        )
    )


def boxes_of(crops: list[dict]) -> list[dict]:
    """One box per crop."""
    return [
        dict(
            tracklet_id=c["tracklet_id"], video_id=c["video_id"], frame=c["frame"], t_utc_us=c["t_utc_us"], x1=10.0, y1=10.0,
            x2=40.0, y2=90.0, score=0.9, overlap=1.0, margin=1.0,
        )
        for c in crops
    ]  # fmt: skip


def confused(crops: list[dict]) -> list[dict]:
    """Two queries answered wrongly, with crops of the run as their pictures."""
    rows = []
    for place in (0, 1):
        for rank, (role, crop) in enumerate(
            zip(("query", "answer", "match"), crops[place : place + 3], strict=True)
        ):
            camera = crop["tracklet_id"].partition("_")[0]
            rows.append(
                dict(
                    place=place, role=role, rank=(-1, 0, 9 - place)[rank], pid=rank, camera_id=camera, **crop
                )
            )
    return rows


def make_run(
    run_dir: Path,
    n_people: int = 3,
    cameras: Sequence[str] = ("gate", "hall"),
    *,
    picture: Callable[[int, int], np.ndarray | None] = coloured,
    metrics: dict | None = None,
    rounds: int = 3,
    time_source: str = "file name",
    seed: int = 0,
    recordings_us: Sequence[int] = (DAY_US, DAY_US + 6 * 3600 * S),
    length_s: int = 230,
    timezone: str = "Europe/Berlin",
    **settings: object,
) -> Context:
    """Write manifests, a crop shard and receipts as the stages before would, and return the report's context."""
    rng = np.random.default_rng(seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    videos, tracklets, crops, identities = [], [], [], []
    for camera in cameras:
        for start in recordings_us:
            videos.append(
                dict(
                    video_id=f"{camera}_{start}", camera_id=camera, path=f"/footage/{camera}_{start}.mp4", digest="0",
                    status="ok", t_start_us=start, t_end_us=start + length_s * S, frames=length_s * 10, width=640, height=384,
                    fps=10.0, time_source=time_source, clock_scale=1.0, time_std_s=0.5, note="",
                )
            )  # fmt: skip
    (run_dir / "shards").mkdir(exist_ok=True)
    with tarfile.open(run_dir / "shards" / "a.tar", "w") as tar:
        for person in range(n_people):
            start = recordings_us[person % len(recordings_us)]
            t = start + int(rng.uniform(0, length_s * 0.6) * S)
            for c, camera in enumerate(cameras):
                image = picture(person, c)
                if image is None:
                    continue
                tracklet_id = f"{camera}_{person:04d}"
                begin, end = t + c * 12 * S, min(t + c * 12 * S + 9 * S, start + length_s * S)
                begin = min(begin, end - S)
                encoded = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
                info = tarfile.TarInfo(f"{person}-{c}.jpg")
                info.size = len(encoded)
                tar.addfile(info, io.BytesIO(encoded))
                offset = tar.offset - (len(encoded) + 511) // 512 * 512
                tracklets.append(
                    dict(
                        tracklet_id=tracklet_id, parent_id=tracklet_id, camera_id=camera, t_start_us=begin, t_end_us=end,
                        n_boxes=90, mean_score=0.8,
                    )
                )  # fmt: skip
                crops.append(
                    dict(
                        tracklet_id=tracklet_id, video_id=f"{camera}_{start}", frame=7, t_utc_us=begin, shard="shards/a.tar",
                        offset=offset, size=len(encoded), width=image.shape[1], height=image.shape[0], grey=False, quality=0.6,
                    )
                )  # fmt: skip
                identities.append(
                    dict(
                        tracklet_id=tracklet_id, identity=person,
                        confidence=float(np.clip(rng.normal(0.8, 0.2), 0.05, 1)),
                    )
                )  # fmt: skip
    inputs: dict[str, list[Path]] = {}

    def put(manifest: schema.Manifest, rows: list[dict], node: str, folder: str) -> None:
        frame = pd.DataFrame(rows) if rows else manifest.empty()
        path = run_dir / folder / manifest.file
        path.parent.mkdir(parents=True, exist_ok=True)
        schema.write(manifest, frame, path)
        receipt = {
            "node": node, "seconds": 1.5, "host": "box", "device": "cpu", "python": "3.12.1", "metadata": {"rows": len(rows)},
            "fingerprint": {"settings": {"speed": 3}, "inputs": {"videos of ingest": "x"}},
        }  # fmt: skip
        (path.parent / "receipt.json").write_text(json.dumps(receipt))
        inputs.setdefault(manifest.name, []).append(path)

    put(manifests.VIDEOS, whole_files(pd.DataFrame(videos)).to_dict("records"), "ingest", "ingest")
    put(manifests.TRACKLETS, tracklets, "isolate", "isolate")
    put(manifests.CROPS, crops, "isolate", "isolate")
    put(manifests.IDENTITIES, identities, "identify", "identify")
    put(manifests.BOXES, boxes_of(crops), "isolate", "isolate")
    put(manifests.DETECTIONS, [], "detect", "detect")
    for r in range(rounds):
        steps = 200
        loss = 2 * np.exp(-(r * steps + np.arange(steps)) / 150) + 0.3 + rng.normal(0, 0.08, steps)
        log = [
            dict(
                step=i,
                epoch=i // 50,
                loss=float(v),
                active_fraction=float(np.clip(v / 2, 0, 1)),
                learning_rate=3e-4,
            )
            for i, v in enumerate(loss)
        ]
        put(manifests.TRAIN_LOG, log if n_people else [], f"train@{r}", f"train/tastr/round-{r}")
        ids = sorted(t["tracklet_id"] for t in tracklets)
        links = [
            dict(
                tracklet_a=a,
                tracklet_b=b,
                distance=0.3,
                joint_distance=0.2,
                transit_time_s=8.0,
                kept=(i + r) % 3 > 0,
            )
            for i, (a, b) in enumerate(itertools.pairwise(ids))
        ]
        put(manifests.ASSOCIATIONS, links if r else [], f"associate@{r}", f"associate/tastr/round-{r}")
    states = [-1, *range(rounds)]
    selection = [dict(round=r, signal=0.4 + 0.1 * r - 0.05 * (r == 2), chosen=r == 1) for r in states]
    put(manifests.SELECTION, selection, "identify", "identify")
    rankings = []
    if metrics and metrics["reid"]["final"]["rank1"] is not None:
        for state, hit in (("start", 0.3), ("final", 0.6), ("supervised", 0.7), ("end_to_end", 0.5)):
            for q in range(80):
                rank = int(rng.geometric(hit)) - 1 if rng.random() > 0.05 else -1
                rankings.append(
                    dict(
                        checkpoint=state, query_id=f"q{q}", pid=q // 2, camera_id=cameras[0], first_match_rank=rank,
                        average_precision=0.5,
                        inverse_negative_penalty=0.5,
                    )
                )  # fmt: skip
    put(manifests.RANKINGS, rankings, "evaluate", "evaluate")
    put(
        manifests.CONFUSIONS, confused(crops) if rankings and len(cameras) > 1 else [], "evaluate", "evaluate"
    )
    put(manifests.MEASURES, [], "evaluate", "evaluate")
    if metrics is not None:
        (run_dir / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    out = run_dir / "report"
    out.mkdir()
    return Context(
        settings=ReportConfig(**settings), run_dir=run_dir, out=out, seed=0, device="cpu",
        sources={
            "site": a_site(cameras, timezone),
            "cut": (DAY_US + 3600 * S, DAY_US + 5 * 3600 * S),
        },
        inputs=inputs, outputs={},
    )  # fmt: skip


SIGNALS = {
    "tracklets": 120,
    "checkpoints": [
        {"checkpoint": "start", "round": -1, **dict.fromkeys(WITNESSES, 0.7)},
        {"checkpoint": "round-1", "round": 1, **dict.fromkeys(WITNESSES, 0.81)},
    ],
    "final_checkpoint": "round-1",
    "final_minus_start": {name: [0.05, 0.17] for name in WITNESSES},
    "cameras": {"gate": 0.9, "hall": 0.6},
    "links": {"gate – hall": 0.4, "gate – yard": 0.5},
}
TRUTH = {
    "reid": {
        "start": {"rank1": 0.358, "mean_ap": 0.348},
        "rounds": [{"round": r, "rank1": 0.45 + 0.06 * r, "mean_ap": 0.42 + 0.05 * r} for r in range(3)],
        "final": {"rank1": 0.51, "mean_ap": 0.47},
        "supervised": {"rank1": 0.692, "mean_ap": 0.628},
        "end_to_end": {"rank1": 0.455, "mean_ap": 0.39, "missed_queries": 2},
    },
    "association": {"precision": 0.87, "recall": 0.27, "rounds": []},
    "identities": {"idf1": 0.61, "pair_precision": 0.7, "pair_recall": 0.4},
    "detection": {"precision": 0.95, "recall": 0.84},
    "tracking": {"idf1": 0.8, "purity": 0.97, "switches": 12, "r_fm": 1.31, "r_sw": 1.04},
    "label_free": SIGNALS,
    "people": {"train": 50, "test": 50, "both": 0, "distractors": 3, "queries": 160},
    "gap_closed": {"rank1": 0.455, "mean_ap": 0.43},
    "fraction_of_supervised": {"rank1": 0.737, "mean_ap": 0.74},
    "intervals": {
        "start": {"rank1": [0.29, 0.42]},
        "final": {"rank1": [0.44, 0.58]},
        "final_minus_start": {"rank1": [0.08, 0.22]},
    },
    "final_checkpoint": "round-1",
}
NO_TRUTH = {
    "reid": {
        "start": {"rank1": None, "mean_ap": None},
        "rounds": [],
        "final": {"rank1": None, "mean_ap": None},
        "supervised": None,
        "end_to_end": {"rank1": None, "mean_ap": None},
    },
    "association": {"precision": None, "recall": None, "rounds": []},
    "identities": {"idf1": None},
    "detection": {"precision": None, "recall": None},
    "tracking": {"idf1": None, "purity": None, "switches": None, "r_fm": None, "r_sw": None},
    "label_free": SIGNALS,
    "people": {"train": None, "test": None, "both": None, "distractors": None, "queries": None},
    "final_checkpoint": "round-1",
}
