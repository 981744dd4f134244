"""What a site file is worth to the model, and what wrong ones cost: `weave` trained on market-site with each.

    make bench NAME=site_files_train [SEEDS="100"]

The same tracklets and crops, the training of `make table`, and the files of `benchmarks.site_files`: walking times left out, no
links, the right file, and wrong ones. Rank-1 and mAP of the last round's network, and of the pairs that it was taught
precision, recall and F. What is done is in ``benchmarks/results/site_files_train_cells.json`` and not made again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks import table
from benchmarks.result import RESULTS, finish, machine
from benchmarks.site_files import busiest_way, wrong_files
from camera_topology.site import load
from pipeline import schema
from pipeline.manifests import IDENTITIES, TRACKLETS

SEEDS = (os.environ.get("SEEDS") or "100").split()
OFF = "associate.prior=off identify.prior=off"


def main() -> None:
    facts = machine()
    place = RESULTS / "site_files_train_cells.json"
    cells = table.read_cells(place)
    for seed in SEEDS:
        base = table.base_run("market", seed, Path("runs/table"))
        if base is None:
            continue
        folder = base.with_name(f"files-{seed}")
        for name, file, sets in files(base, folder):
            if f"{name}/{seed}" not in cells:
                run = folder / "run"
                words = f"{table.settings('market', 'weave', seed, '')} {sets}".strip()
                cells[f"{name}/{seed}"] = table.measure(base, run, "weave", words, "--topology", str(file))
                shutil.rmtree(run)
                table.write_cells(place, cells)
                print(f"{name}/{seed}: {table.short(cells[f'{name}/{seed}'])}", flush=True)
    names = list(dict.fromkeys(key.split("/")[0] for key in cells))
    rows = [
        {"site file": name, **shown([c for k, c in cells.items() if k.split("/")[0] == name])}
        for name in names
    ]
    finish("site_files_train", {row["site file"]: row["rank-1"] for row in rows}, rows, facts)


def files(base: Path, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Name, site file written to ``folder``, and settings."""
    right = load(Path(table.SITES["market"]["topology"]))
    values = right.facts.model_dump(mode="json", by_alias=True, exclude_unset=True)
    folder.mkdir(parents=True, exist_ok=True)
    tracklets = schema.read(TRACKLETS, base / "isolate" / TRACKLETS.file)
    identities = schema.read(IDENTITIES, base / "identify" / IDENTITIES.file)
    way = busiest_way(tracklets, identities)
    yield "no times", written(folder / "none.yaml", {**values, "links": []}), OFF
    yield "none", written(folder / "none.yaml", {**values, "links": []}), ""
    yield "right", written(folder / "right.yaml", values), ""
    for case in wrong_files(values, way):
        wrong: dict[str, Any] = case.site.facts.model_dump(mode="json", by_alias=True, exclude_unset=True)
        for camera in wrong["cameras"]:
            if camera["id"] in case.late:
                clock = camera.setdefault("clock", {})
                clock["offset_s"] = clock.get("offset_s", 0.0) + case.late[camera["id"]]
        name = case.name
        yield name, written(folder / f"{name.replace(' ', '_')}.yaml", wrong), ""


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def shown(cells: list[dict[str, Any]]) -> dict[str, str]:
    """Means over seeds, in per cent."""
    found = {name: [100 * v for v in table.of(cells, *path)] for name, path in table.COLUMNS.items()}
    return {name: table.spread(values) for name, values in found.items()}


if __name__ == "__main__":
    main()
