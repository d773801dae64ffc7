"""A run folder that several tests read, and what evaluating it left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tilted_run import tilted_recipe, write_run

from morphoscope.evaluate.angles import evaluate_angles


@pytest.fixture(scope="session")
def tilted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder without records; not to be written to."""
    return write_run(tmp_path_factory.mktemp("tilted") / "run")


@pytest.fixture(scope="session")
def judged(tilted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the evaluated run; ``../summary.json`` is what the stage returned."""
    out = tmp_path_factory.mktemp("judged") / "evaluate"
    out.mkdir()
    summary = evaluate_angles(tilted_recipe(), run=tilted, out=out)
    (out.parent / "summary.json").write_text(json.dumps(summary))
    return out
