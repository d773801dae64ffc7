from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from morphoscope.engine import Engine, open_engine
from morphoscope.recipe import EngineSettings


@pytest.fixture
def inline() -> Iterator[Engine]:
    with open_engine(EngineSettings(kind="inline")) as engine:
        yield engine


@pytest.fixture(scope="session")
def galaxies(tiny_run: Path) -> Path:
    """Folder of the 60 images of the tiny run."""
    return tiny_run / "images"
