"""One training by processes on two nodes, one of which dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from morphoscope.pipeline import run_stage
from morphoscope.provenance import content_digest
from morphoscope.recipe import load_recipe
from slurm import Slurm, jobs, jobs_on, until, with_pid

# A busy machine takes its time to start jobs.
pytestmark = pytest.mark.timeout(900)
RECIPE = """\
name = "tiny"

[simulate]
n = 60
size = 40

[split]
validation = 0.25
test = 0.25

[prepare]
size = 16

[train]
network = "resnet10"
width = 0.125
epochs = 16
orientations = 1
threads = 1
precision = "float32"
checkpoint_s = 0.0
processes = 2

[engine]
workers = 2
memory = "1500MB"
hand_over = "memory"

[engine.stages.train]
workers = 2
"""
STAGES = ("acquire", "clean", "split", "prepare", "train")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def expected(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the model that two processes of this machine make."""
    run = tmp_path_factory.mktemp("here") / "run"
    for name in STAGES:
        run_stage(load_recipe(recipe), run, name)
    return content_digest([run / "train/model"])


def ranks_on(node: str) -> list[int]:
    """Processes of a training there."""
    found = []
    for pid in jobs_on(node):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        except OSError:
            continue
        if "train.rank" in words:
            found.append(pid)
    return found


def test_processes_on_two_nodes_train_as_those_of_one(
    slurm: Slurm, recipe: Path, expected: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    seen: list[tuple[int, int]] = []

    def disturb() -> None:
        until(lambda: ranks_on("n1") and ranks_on("n2"), 600, "processes on both nodes")
        until(lambda: (run / "train/members/0/checkpoint.safetensors").exists(), 300, "checkpoint")
        victims = ranks_on("n2")
        seen.append((len(ranks_on("n1")), len(victims)))
        for victim in victims:
            with_pid(victim, signal.SIGKILL)

    thread = threading.Thread(target=disturb)
    thread.start()
    own = ["run", str(recipe), "--out", str(run), "--engine", "slurm"]
    words = [sys.executable, "-m", "morphoscope", *own]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: (run / "train/model").exists() or process.poll() is not None, 600, "model")
    thread.join()
    # What comes after says nothing more here.
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    until(lambda: not jobs(), 120, "end of the jobs")
    assert seen == [(1, 1)], said
    assert content_digest([run / "train/model"]) == expected, said
