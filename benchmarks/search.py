"""Does `search` find the right person first as often as rank-1 says?

    make bench NAME=search RUN=runs/market

Every query of the evaluation (a person of the test time in a camera) is asked with its true crops, as `search` would be
asked with a few pictures of one person; tracklets of the query's own camera are passed over, as in the evaluation.
Compared with the run's own end-to-end rank-1, which ranks the same tracklets.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from benchmarks.seeds import metrics
from pipeline import schema
from pipeline.manifests import BOXES, GALLERY, GROUND_TRUTH, PEOPLE
from stages.evaluation.matching import persons_of
from stages.network.embedding import cached_features, tracklet_features
from stages.search import gallery

RUN = Path(os.environ.get("RUN") or "runs/demo")


def main() -> None:
    facts = machine()
    table = schema.read(GALLERY, RUN / "export" / GALLERY.file)
    truth = schema.read(GROUND_TRUTH, RUN / "ground_truth" / GROUND_TRUTH.file)
    parts = schema.read(PEOPLE, RUN / "ground_truth" / PEOPLE.file).set_index("pid")
    people, queried = parts.role, parts.index[(parts.role == "test") & (parts.n_cameras > 1)]
    boxes = schema.read(BOXES, RUN / "isolate" / BOXES.file)
    person = persons_of(boxes, truth)
    asked = pd.concat(
        [
            pd.read_parquet(path).assign(shard=str((path.parent / "crops.tar").relative_to(RUN)))
            for path in sorted((RUN / "shard_cache" / "evaluate").glob("*/crops.parquet"))
        ],
        ignore_index=True,
    )
    network = RUN / "export" / "model.pt"
    features = cached_features(network, asked, RUN, "cpu")
    queries = asked[asked.pid.isin(queried)].drop_duplicates("tracklet_id")
    queries = queries[["tracklet_id", "camera_id", "pid"]].reset_index(drop=True)
    means = tracklet_features(features, list(asked.tracklet_id), list(queries.tracklet_id))
    _, rows = gallery.search(RUN / "export", means, len(table))

    pid = table.tracklet_id.map(person).fillna(-1).to_numpy()
    camera = table.camera_id.to_numpy(str)
    of_test = np.array(
        [people.get(p, "test") == "test" for p in pid]
    )  # nobody's tracklets stay in, as distractors
    hits, count = 0, 0
    for query, order in zip(queries.itertuples(), rows, strict=True):
        others = order[(camera[order] != query.camera_id) & of_test[order]]
        count += 1
        hits += int(len(others) > 0 and pid[others[0]] == query.pid)
    wanted = metrics(RUN)["reid"]["end_to_end"]["rank1"]
    rows_out = [
        {"run": str(RUN), "queries": count, "found first": hits / max(count, 1), "end-to-end rank-1": wanted}
    ]
    finish(
        f"search-{RUN.name}",
        {"found_first": hits / max(count, 1), "rank1": wanted, "queries": count},
        rows_out,
        facts,
    )


if __name__ == "__main__":
    main()
