"""Work whose images and results lie on a file system that is slow, and then stands still."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from morphoscope.catalog import write_catalogue
from morphoscope.engine import open_engine
from morphoscope.engine.activity import read_activity
from morphoscope.prepare import prepare
from morphoscope.provenance import file_digest
from morphoscope.recipe import EngineSettings, PrepareSettings
from slurm import Slurm, until

# A busy machine takes its time to start jobs.
pytestmark = pytest.mark.timeout(900)

SETTINGS = PrepareSettings.model_validate({"size": 16})
N = 240
# So long the disk stands still: longer than a worker may be silent, or a folder away.
STUCK_S, PATIENCE_S = 12.0, 4.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The folder ``real`` as seen through a slow disk, which gets stuck after the first images."""
    if shutil.which("bindfs") is None or not Path("/dev/fuse").exists():
        pytest.skip("bindfs is not installed, or there is no /dev/fuse")
    real, seen = tmp_path / "real", tmp_path / "seen"
    real.mkdir()
    seen.mkdir()
    script = str(Path(__file__).with_name("slow_disk.py"))
    first = real / "slurm/shards.jsonl"
    words = [str(real), str(seen), str(first), str(STUCK_S)]
    process = subprocess.Popen([sys.executable, script, *words])
    try:
        until(seen.is_mount, 30, "mounted folder")
        yield seen
    finally:
        process.terminate()
        process.wait(60)


def prepared(folder: Path, settings: EngineSettings) -> str:
    """Digest of the images that are prepared from a folder, and into it."""
    with open_engine(settings, folder=folder, watched=[folder]) as engine:
        prepare(
            SETTINGS, catalogue=folder / "in.parquet", out=folder / settings.kind, engine=engine
        )
    return file_digest(folder / settings.kind / "images.npy")


def test_a_disk_that_is_slow_and_gets_stuck(slurm: Slurm, disk: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    for k in range(N):
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"real/{k}.jpg")
    (tmp_path / "real/30.jpg").write_bytes(b"torn")
    names = [str(k) for k in range(N)]
    files = [str(disk / f"{name}.jpg") for name in names]
    frame = pl.DataFrame({"id_str": names, "file_loc": files})
    write_catalogue(tmp_path / "real/in.parquet", frame, {})
    values = {"kind": "slurm", "workers": 2, "memory": "1GB"}
    patience = {"away_s": PATIENCE_S, "silent_s": PATIENCE_S}

    there = prepared(disk, EngineSettings.model_validate(values | patience))
    done = [event for event in read_activity(tmp_path / "real") if event["what"] == "done"]
    assert max(event["seconds"] for event in done) > STUCK_S / 2
    assert there == prepared(tmp_path / "real", EngineSettings(kind="inline"))
