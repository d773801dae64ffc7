"""A run folder that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest
from striped_run import write_run


@pytest.fixture(scope="session")
def striped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder with three classes and without records; not to be written to."""
    return write_run(tmp_path_factory.mktemp("striped"), ["none", "one", "two"])
