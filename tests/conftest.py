"""Fixtures and tiers shared by all tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.tiny_site import FAST, make_site, pipeline, request

settings.register_profile("trackweave", deadline=None)  # timing is measured in benchmarks, never asserted
settings.load_profile("trackweave")

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"


@pytest.fixture(scope="session")
def footage() -> Path:
    """Real videos, ground truth and weights beside the checkout."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"real footage is not at {FOOTAGE}")
    return FOOTAGE


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny site."""
    folder = tmp_path_factory.mktemp("site with spaces")
    make_site(folder)
    return folder


@pytest.fixture(scope="session")
def finished(site: Path) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A finished run of it, for reading only, and what it said."""
    run = site / "runs" / "one"
    return run, pipeline("run", *request(site, run), "--supervised")


@pytest.fixture
def run(finished: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of the finished run, to change."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def without_network(log: Path) -> dict[str, str]:
    """An environment whose Python processes may not reach a network, and note in ``log`` what they tried."""
    guard = str(Path(__file__).parent / "no_network")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return {**plain, "PYTHONPATH": guard, "NO_NETWORK_LOG": str(log)}


@pytest.fixture(scope="session")
def private_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a tiny site, whose finished run is ``run`` in it, and the log of its guarded processes."""
    site = tmp_path_factory.mktemp("private site")
    make_site(site)
    words = ["--videos", site / "videos", "--topology", site / "site.yaml", "--ground-truth", site / "gt"]
    words += ["--run", site / "run", "--detector", site / "det"]
    words += ["--set", f"{FAST} run.workers=2 export.formats=[openvino]"]
    result = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *map(str, words)],
        cwd=Path(__file__).resolve().parents[1],
        env=without_network(site / "network.log"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return site / "run", site / "network.log"
