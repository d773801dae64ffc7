"""Images in the memory of two nodes that do not see each other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from engine.tasks import open_images
from morphoscope.catalog import write_catalogue
from morphoscope.engine import open_engine
from morphoscope.prepare import prepare
from morphoscope.prepare.in_memory import give_back
from morphoscope.provenance import file_digest
from morphoscope.recipe import EngineSettings, PrepareSettings
from slurm import Slurm, until

# A busy machine takes its time to start jobs.
pytestmark = pytest.mark.timeout(900)

TESTS = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")
SETTINGS = PrepareSettings.model_validate({"size": 16})
N = 400


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    random = np.random.default_rng(9)
    files = [tmp_path / "images" / f"{i}.jpg" for i in range(N)]
    files[0].parent.mkdir()
    for file in files:
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file)
    (files[30]).write_bytes(b"torn")
    frame = pl.DataFrame({"id_str": [f.stem for f in files], "file_loc": [str(f) for f in files]})
    write_catalogue(tmp_path / "in.parquet", frame, {})
    return tmp_path / "in.parquet"


def settings() -> EngineSettings:
    prologue = [f"export PYTHONPATH={TESTS}"]
    values = {"kind": "slurm", "workers": 2, "memory": "1GB", "prologue": prologue}
    return EngineSettings.model_validate(values)


@pytest.fixture
def expected(catalogue: Path) -> str:
    """Digest of the store that files make."""
    with open_engine(EngineSettings(kind="inline")) as engine:
        files = catalogue.parent / "files"
        prepare(SETTINGS, catalogue=catalogue, out=files, engine=engine)
    return file_digest(files / "images.npy")


def prepared(engine: Any, catalogue: Path) -> Path:
    store = catalogue.parent / "store"
    summary = prepare(SETTINGS, catalogue=catalogue, out=store, engine=engine, memory=MEMORY)
    assert summary["n"] == N - 1
    return store


def test_they_go_from_worker_to_worker(apart: Any, catalogue: Path, expected: str) -> None:
    apart("mount", "-t", "tmpfs", "none", str(MEMORY))
    with open_engine(settings(), folder=catalogue.parent) as engine:
        store = prepared(engine, catalogue)
        # What is gone cannot be made again.
        for file in (catalogue.parent / "images").iterdir():
            file.unlink()
        found: dict[str, str] = {}

        def both() -> bool:
            # On a busy machine one node's worker may come late.
            found.update(result for _, result in engine.map(open_images, [store] * 6))
            return len(found) == 2

        until(both, 240, "images on two nodes")
        place = (store / "images.npy").readlink()
        assert place.exists()
        give_back(store)
        assert not place.exists()
    assert found == {"n1": expected, "n2": expected}


def test_what_is_lost_with_its_node_is_made_again(
    apart: Any, slurm: Slurm, catalogue: Path, expected: str
) -> None:
    apart("mount", "-t", "tmpfs", "none", str(MEMORY))
    with open_engine(settings(), folder=catalogue.parent) as engine:
        store = prepared(engine, catalogue)
        # The one that has gathered them is of this machine's memory, or not.
        first = "n1" if (store / "images.npy").exists() else "n2"
        slurm.lose(first)
        found = [result for _, result in engine.map(open_images, [store] * 3)]
    other = {"n1": "n2", "n2": "n1"}[first]
    assert found == [(other, expected)] * 3
