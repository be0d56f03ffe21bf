"""Test data that lives outside the repository."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder named by VISARD_ASSETS, or ../shared beside the repository; skips where there is none."""
    repository = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("VISARD_ASSETS", repository.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}")
    return folder
