"""A run whose images are handed over in memory: the same results, and no memory kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from morphoscope.engine.activity import read_activity
from morphoscope.errors import RecipeError
from morphoscope.pipeline import run_stage, run_stages, status
from morphoscope.recipe import Recipe, load_recipe

RECIPE = """
name = "tiny"
seed = 3
[simulate]
n = 60
size = 40
[split]
validation = 0.25
test = 0.25
[prepare]
size = 32
[train]
network = "resnet10"
width = 0.125
epochs = 1
orientations = 1
precision = "float32"
[evaluate]
bootstrap = 100
gallery = 0
explain = 0
[engine]
workers = 1
"""
WEIGHTS = "train/model/weights.safetensors"
pytestmark = pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no /dev/shm")


def areas(memory_folder: Path) -> list[Path]:
    return [path for path in memory_folder.glob("*/*") if path.is_dir()]


def predictions(run: Path) -> pl.DataFrame:
    # The galaxies were drawn into the run folders.
    return pl.read_parquet(run / "evaluate/predictions.parquet").drop("file_loc")


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def own_memory() -> Iterator[Path]:
    """Elsewhere the next one that comes along, of whatever test, would free what is left."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def memory(recipe_file: Path, own_memory: Path) -> Recipe:
    words = ["engine.hand_over=memory", f"engine.memory_folder={own_memory}"]
    return load_recipe(recipe_file, words)


@pytest.fixture(scope="module")
def by_files(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "files"
    run_stages(load_recipe(recipe_file), run)
    return run


@pytest.fixture(scope="module")
def in_memory(memory: Recipe, own_memory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "memory"
    run_stages(memory, run)
    assert not areas(own_memory)
    return run


def test_it_ends_as_with_files(by_files: Path, in_memory: Path) -> None:
    assert (in_memory / WEIGHTS).read_bytes() == (by_files / WEIGHTS).read_bytes()
    assert predictions(in_memory).equals(predictions(by_files))
    outputs = [
        json.loads((run / "prepare/stage.json").read_text()) for run in (by_files, in_memory)
    ]
    assert outputs[0]["outputs"]["images.npy"] == outputs[1]["outputs"]["images.npy"]
    assert not (in_memory / "prepare/images.npy").exists()


def test_it_stays_up_to_date_when_its_memory_is_free(
    memory: Recipe, recipe_file: Path, in_memory: Path
) -> None:
    for recipe in (memory, load_recipe(recipe_file)):
        assert {one.state for one in status(recipe, in_memory)} == {"up to date"}


def test_a_later_stage_makes_the_images_again(
    memory: Recipe, by_files: Path, in_memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stage(memory, in_memory, "evaluate", force=True)
    assert "made again" in capsys.readouterr().err
    assert predictions(in_memory).equals(predictions(by_files))


def test_a_training_has_the_workers_make_the_images_again(
    memory: Recipe, by_files: Path, in_memory: Path
) -> None:
    def prepared() -> int:
        events = read_activity(in_memory)
        return sum(one["what"] == "done" and one["stage"] == "prepare" for one in events)

    before = prepared()
    run_stages(memory, in_memory, first="train")
    assert prepared() == 2 * before > 0
    assert (in_memory / WEIGHTS).read_bytes() == (by_files / WEIGHTS).read_bytes()


def test_killed_it_leaves_what_the_next_one_takes_up(
    recipe_file: Path, by_files: Path, own_memory: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    words = ["run", str(recipe_file), "--out", str(run), "--set", "engine.hand_over=memory"]
    own = ["--set", f"engine.memory_folder={own_memory}"]
    command = [sys.executable, "-m", "morphoscope", *words, *own]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (run / "train/stage.json").exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (run / "prepare/images.npy").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "prepare: up to date" in done.stderr
    assert "made again" not in done.stderr
    assert not areas(own_memory)
    assert (run / WEIGHTS).read_bytes() == (by_files / WEIGHTS).read_bytes()


def test_one_stage_alone_writes_files(memory: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "alone"
    for name in ("acquire", "clean", "split", "prepare"):
        run_stage(memory, run, name)
    assert not (run / "prepare/images.npy").is_symlink()
    assert (run / "prepare/images.npy").exists()


def test_workers_that_prepare_must_be_there_for_the_others(recipe_file: Path) -> None:
    words = ["engine.hand_over=memory", "engine.stages.train.memory=8GB"]
    with pytest.raises(RecipeError, match="same workers for prepare and for train"):
        load_recipe(recipe_file, words, kind="slurm")
    assert load_recipe(recipe_file, words).engine.hand_over == "memory"
