"""Fixtures and tiers shared by all tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

from tests.tiny_site import make_site, pipeline, request

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


def without_network(log: Path) -> dict[str, str]:
    """An environment whose Python processes may not reach a network, and note in ``log`` what they tried."""
    guard = str(Path(__file__).parent / "no_network")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return {**plain, "PYTHONPATH": guard, "NO_NETWORK_LOG": str(log)}


@pytest.fixture(scope="session")
def finished(site: Path) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A finished run of it, for reading only, and what it said; no process of it could reach a network."""
    run = site / "runs" / "one"
    environment = without_network(site / "network.log")
    return run, pipeline("run", *request(site, run), "--supervised", env=environment)


@pytest.fixture
def run(finished: tuple[Path, object], tmp_path: Path) -> Path:
    """A copy of the finished run, to change."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))
