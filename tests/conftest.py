"""Fixtures and tiers shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("trackweave", deadline=None)  # timing is measured in benchmarks, never asserted
settings.load_profile("trackweave")

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"


@pytest.fixture(scope="session")
def footage() -> Path:
    """Real videos, ground truth and weights beside the checkout."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"real footage is not at {FOOTAGE}")
    return FOOTAGE
