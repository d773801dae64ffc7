"""Fixtures that several stages share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real galaxies, which are not part of the project."""
    named = os.environ.get("MORPHOSCOPE_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real galaxies: {folder} is absent (set MORPHOSCOPE_DATA)")
    return folder
