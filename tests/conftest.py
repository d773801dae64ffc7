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


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a tiny model, up to and with evaluate and export."""
    from morphoscope.bundle import export
    from tiny_run import make_run, tiny_recipe

    recipe = tiny_recipe()
    folder = make_run(tmp_path_factory.mktemp("tiny"), recipe)
    export(recipe, run=folder, out=folder / "export")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """Folder of the tiny model's bundle."""
    return tiny_run / "export" / "tiny"
