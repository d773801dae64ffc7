"""A whole recipe on a real Slurm: killed, resumed, and the same as on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.catalog import read_catalogue
from morphoscope.engine.activity import read_activity
from morphoscope.provenance import content_digest
from slurm import Slurm, jobs, until
from tiny_run import draw_images

# A busy machine takes its time to start jobs.
pytestmark = pytest.mark.timeout(900)

RECIPE = """\
name = "tiny"

[acquire]
source = "folder"
licence = "CC0-1.0"

[clean]
largest_pixels = 900_000_000

[prepare]
size = 32

[split]
validation = 0.25
test = 0.25

[train]
network = "resnet10"
width = 0.125
epochs = 4
threads = 1
precision = "float32"

[evaluate]
bootstrap = 100
gallery = 0
explain = 0

[engine]
workers = 2
memory = "1500MB"

[[clean.classes]]
name = "even"
where = "class = 'even'"

[[clean.classes]]
name = "odd"
where = "class = 'odd'"
"""
SAME = ("prepare/images.npy", "train/model", "evaluate/predictions.parquet", "export/tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of images, and one that takes more memory than a worker has."""
    folder = tmp_path_factory.mktemp("data")
    for index, path in enumerate(draw_images(folder / "drawn", 80)):
        place = folder / "images" / ("even", "odd")[index % 2] / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    cv2.imwrite(str(folder / "images/odd/poison.png"), np.zeros((24_000, 24_000, 3), np.uint8))
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


def command(data: Path, out: Path, *words: str) -> list[str]:
    recipe = [str(data / "tiny.toml"), "--data", str(data / "images"), "--out", str(out)]
    return [sys.executable, "-m", "morphoscope", "run", *recipe, *words]


def digests(run: Path) -> dict[str, str]:
    return {name: content_digest([run / name]) for name in SAME}


def test_killed_and_resumed_on_slurm_it_is_as_here(
    slurm: Slurm, data: Path, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    first = subprocess.Popen(command(data, there, "--engine", "slurm"), start_new_session=True)
    until(lambda: any(e["stage"] == "train" for e in read_activity(there)), 600, "training")
    watching = subprocess.Popen(
        [sys.executable, "-m", "morphoscope", "status", str(there), "--watch"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert "at work" in watching.stdout.readline()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    # It watches as long as anybody leads the run.
    watched, _ = watching.communicate(timeout=60)
    assert "nothing works here now" in watched
    resumed = command(data, there, "--engine", "slurm")
    done = subprocess.run(resumed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "prepare: up to date" in done.stderr
    until(lambda: not jobs(), 60, "end of the jobs")
    # The image that takes too much memory did end workers.
    again = [event["why"] for event in read_activity(there) if event["what"] == "again"]
    assert any("with the worker" in why for why in again)
    rejects = read_catalogue(there / "clean/rejects.parquet").frame
    poisoned = rejects.filter(pl.col("file_loc").str.ends_with("poison.png"))
    assert len(poisoned) == len(rejects) == 1
    # The same on this machine, without the image that its processes could well read.
    (data / "images/odd/poison.png").unlink()
    subprocess.run(command(data, here, "--set", "engine.workers=1"), check=True)
    assert digests(there) == digests(here)
    page = (there / "activity.html").read_text()
    assert re.search(r">n[12]:\d+<", page)
