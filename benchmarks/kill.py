"""kill -9 at random instants: does every rerun complete, with the same result?

    make bench NAME=kill [TIMES=20]

A tiny site (two cameras, a run of some seconds) is run once in peace. Then, TIMES times, a fresh run is killed at a random
instant and simply started again. Every stage's tables must have the digests of the undisturbed run and the measures be
equal; what was finished before the kill must not run again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.result import finish, machine
from tests.tiny_site import FAST, make_site

TIMES = int(os.environ.get("TIMES") or 20)


def main() -> None:
    facts = machine()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        site = Path(scratch) / "site"
        site.mkdir()
        make_site(site)
        start = time.perf_counter()
        finished(launch(site, Path(scratch) / "peace"))
        whole_s = time.perf_counter() - start
        wanted = outcome(Path(scratch) / "peace")
        same, repeated, at, reasons = 0, 0, [], []
        for k in range(TIMES):
            run = Path(scratch) / f"killed-{k}"
            process = launch(site, run)
            moment = draw.uniform(0.5, whole_s)
            time.sleep(moment)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done = {r.parent: r.stat().st_mtime_ns for r in receipts(run)}
            at.append(len(done))
            finished(launch(site, run))
            repeated += sum(r.stat().st_mtime_ns != done[r.parent] for r in receipts(run) if r.parent in done)
            found = outcome(run)
            same += found == wanted
            reasons += [name for name in wanted if found.get(name) != wanted[name]]
        values = {
            "times": TIMES, "same_outcome": same, "finished_steps_repeated": repeated,
            "seconds_of_a_run": round(whole_s, 1), "different": sorted(set(reasons)),
        }  # fmt: skip
        rows = [{"kills": TIMES, "same outcome": same, "steps done at the kill": f"{min(at)} to {max(at)}",
                 "steps repeated": repeated}]  # fmt: skip
        finish("kill", values, rows, facts)
    sys.exit(0 if same == TIMES and not repeated else 1)


def launch(site: Path, run: Path) -> subprocess.Popen[bytes]:
    words = ["run", "--run", run, "--videos", site / "videos", "--topology", site / "site.yaml",
             "--detector", site / "det", "--ground-truth", site / "gt", "--weights", "random",
             "--backbone", "osnet_x0_25", "--device", "cpu", "--set", f"{FAST} run.workers=2"]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"a rerun failed with {process.returncode}: {said.decode()[-2000:]}")


def receipts(run: Path) -> list[Path]:
    return [p for p in run.rglob("receipt.json") if ".scratch" not in p.parts]


def outcome(run: Path) -> dict[str, Any]:
    """Digests of every table by step, and the measures."""
    facts = [json.loads(path.read_text(encoding="utf-8")) for path in receipts(run)]
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
    return {**{f["node"]: f["outputs"] for f in facts}, "metrics": metrics}


if __name__ == "__main__":
    main()
