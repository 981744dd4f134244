"""Fixtures and tiers shared by all tests."""

from pathlib import Path

import pytest

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"


@pytest.fixture(scope="session")
def footage() -> Path:
    """Real videos, ground truth and weights beside the checkout."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"real footage is not at {FOOTAGE}")
    return FOOTAGE
