"""The whole way on a few small galaxies, and which stages run again when."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from morphoscope.cli import main
from morphoscope.errors import StageError
from morphoscope.pipeline import read_run, run_stage, run_stages, status
from morphoscope.recipe import Recipe, load_recipe
from morphoscope.stages import STAGES

RECIPE = """
name = "tiny"
seed = 3
[simulate]
n = 90
size = 48
[split]
validation = 0.25
test = 0.25
[prepare]
size = 32
[train]
width = 0.125
epochs = 2
batch_size = 16
members = 2
checkpoint_s = 0.0
orientations = 1
[evaluate]
bootstrap = 100
gallery = 4
explain = 2
[engine]
kind = "inline"
"""


def states(recipe: Recipe, run: Path) -> dict[str, str]:
    return {one.stage: one.state for one in status(recipe, run)}


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def finished(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    run_stages(load_recipe(recipe_file), run)
    return run


def test_every_stage_is_up_to_date_afterwards(recipe_file: Path, finished: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert set(states(recipe, finished).values()) == {"up to date"}
    assert read_run(finished) == recipe
    before = {name: (finished / name / "stage.json").stat().st_mtime_ns for name in STAGES}
    run_stages(recipe, finished)
    after = {name: (finished / name / "stage.json").stat().st_mtime_ns for name in STAGES}
    assert before == after


def test_no_galaxy_is_lost_on_the_way(finished: Path) -> None:
    prepared = pl.read_parquet(finished / "prepare" / "catalogue.parquet")
    rejected = pl.read_parquet(finished / "prepare" / "rejects.parquet")
    cleaned = pl.read_parquet(finished / "clean" / "rejects.parquet")
    assert prepared.height + rejected.height + cleaned.height == 90
    assert np.load(finished / "prepare" / "images.npy").shape == (prepared.height, 3, 32, 32)


def test_a_changed_setting_makes_its_stage_and_the_later_ones_stale(
    recipe_file: Path, finished: Path
) -> None:
    changed = load_recipe(recipe_file, ["train.epochs=3"])
    found = {one.stage: one for one in status(changed, finished)}
    assert found["prepare"].state == "up to date"
    assert found["train"].state == "out of date"
    assert found["train"].why == "settings changed"
    assert found["export"].state == "waiting"
    report = load_recipe(recipe_file, ["evaluate.gallery=3"])
    assert states(report, finished)["train"] == "up to date"
    assert states(report, finished)["evaluate"] == "out of date"


def test_a_changed_output_is_noticed(recipe_file: Path, finished: Path) -> None:
    path = finished / "export" / "tiny" / "card.md"
    text = path.read_text()
    path.write_text(text + "changed")
    try:
        found = {one.stage: one for one in status(load_recipe(recipe_file), finished)}
        assert found["export"].why == "its outputs were changed or lost"
    finally:
        path.write_text(text)


def test_a_stage_alone_needs_the_ones_before(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    with pytest.raises(StageError, match="clean needs acquire, which is not run"):
        run_stage(recipe, tmp_path / "run", "clean")
    run_stage(recipe, tmp_path / "run", "acquire")
    record = run_stage(recipe, tmp_path / "run", "clean")
    assert record.summary["n"] > 0


def test_predictions_equal_those_of_evaluate(finished: Path, tmp_path: Path) -> None:
    evaluated = pl.read_parquet(finished / "evaluate" / "predictions.parquet")
    catalogue = pl.read_parquet(finished / "acquire" / "catalogue.parquet")
    table = tmp_path / "table.parquet"
    catalogue.select("id_str", "file_loc").write_parquet(table)
    out = tmp_path / "predictions.parquet"
    with pytest.raises(SystemExit) as left:
        main(["predict", str(finished / "export" / "tiny"), str(table), "--out", str(out)])
    assert left.value.code == 0
    predicted = pl.read_parquet(out)
    assert predicted["id_str"].to_list() == catalogue["id_str"].to_list()
    columns = [name for name in evaluated.columns if name.startswith("p_")]
    both = evaluated.join(predicted, on="id_str", suffix="_again")
    assert both.height == evaluated.height
    for name in columns:
        assert float((both[name] - both[f"{name}_again"]).abs().max()) < 1e-4  # type: ignore[arg-type]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "src" and value and not value.startswith("data:"):
                self.outside.append(value)


def test_the_report_stands_alone_and_holds_the_scores(finished: Path) -> None:
    text = (finished / "evaluate" / "report.html").read_text()
    metrics = json.loads((finished / "evaluate" / "metrics.json").read_text())
    links = _Links()
    links.feed(text)
    assert links.outside == []
    assert f"{100 * metrics['scores']['accuracy']['value']:.1f}" in text


def test_two_processes_do_not_share_a_run_folder(recipe_file: Path, tmp_path: Path) -> None:
    import fcntl

    run = tmp_path / "run"
    run.mkdir()
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StageError, match="another process works in"):
            run_stages(load_recipe(recipe_file), run)


CHECKPOINT = "train/members/0/checkpoint.safetensors"
EVERYWHERE = ["acquire/images", "prepare/images.npy", CHECKPOINT]


@pytest.mark.parametrize(
    "milestones", [[CHECKPOINT], pytest.param(EVERYWHERE, marks=pytest.mark.thorough)]
)
def test_killed_anywhere_a_run_resumes_to_the_same_weights(
    recipe_file: Path, finished: Path, tmp_path: Path, milestones: list[str]
) -> None:
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "morphoscope", "run", str(recipe_file), "--out", str(run)]
    for milestone in milestones:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (run / milestone).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout
    for name in ("prepare/images.npy", "train/model/weights.safetensors"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()


def test_status_is_shown(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["status", str(finished)])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert shown.count("up to date") == len(STAGES)
