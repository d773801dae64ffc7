"""What a run must not touch, must notice, and must give back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from morphoscope.errors import MorphoscopeError, RecipeError, SourceError, StageError
from morphoscope.pipeline import run_if_needed, run_stage, run_stages, status
from morphoscope.recipe import Recipe
from morphoscope.stages import Job, Stage
from tiny_run import draw_images

EARLY = ("acquire", "clean", "split")


def recipe_for(data: Path, **sections: object) -> Recipe:
    values = {
        "name": "care",
        "acquire": {"source": "folder", "data": str(data)},
        "engine": {"kind": "inline"},
        "clean": {"duplicates": False},
    }
    return Recipe.model_validate({**values, **sections})


def states(recipe: Recipe, run: Path) -> dict[str, str]:
    return {one.stage: one.state for one in status(recipe, run) if one.stage in EARLY}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for index, name in enumerate(("round", "edge_on")):
        draw_images(tmp_path / "data" / name, 12, seed=index)
    return tmp_path / "data"


@pytest.mark.parametrize("place", [".", "run"])
def test_a_run_folder_in_the_data_is_refused(data: Path, place: str) -> None:
    with pytest.raises(StageError, match="lies in the data folder"):
        run_stage(recipe_for(data), data / place, "acquire")


def test_files_of_others_stay(data: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "run/acquire/thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("all of it")
    with pytest.raises(StageError, match="not made by morphoscope"):
        run_stage(recipe_for(data), tmp_path / "run", "acquire", force=True)
    assert thesis.read_text() == "all of it"


def test_what_cannot_be_done_costs_nothing(data: Path, tmp_path: Path) -> None:
    recipe, run = recipe_for(data), tmp_path / "run"
    for stage in EARLY:
        run_stage(recipe, run, stage)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError):
        run_stage(recipe, run, "acquire")
    (tmp_path / "elsewhere").rename(data)
    assert set(states(recipe, run).values()) == {"up to date"}


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"network": "resnet81"}, "did you mean 'resnet18'"),
        ({"network": "efficientnet_lite0"}, "prepare.size is 24"),
        ({"network": "resnet18", "weights": "absent.safetensors"}, "absent.safetensors"),
        ({"orientations": 8}, "changes the handedness"),
    ],
)
def test_what_train_would_refuse_is_told_before_acquire(
    data: Path, tmp_path: Path, train: dict[str, object], said: str
) -> None:
    augment = {"label_depends_on": ["handedness"], "mirror": False}
    classes = [{"name": name, "where": f"class = '{name}'"} for name in ("round", "edge_on")]
    recipe = recipe_for(
        data,
        augment=augment,
        clean={"duplicates": False, "classes": classes},
        prepare={"size": 24},
        train=train,
    )
    with pytest.raises(MorphoscopeError, match=said):
        run_stages(recipe, tmp_path / "run")
    assert not (tmp_path / "run/acquire").exists()


def test_a_typo_keeps_the_former_result(tmp_path: Path) -> None:
    simulated = {"acquire": {"source": "simulated"}, "simulate": {"n": 10, "size": 32}}
    recipe, run = recipe_for(tmp_path, **simulated), tmp_path / "run"
    run_stage(recipe, run, "acquire")
    simulated["simulate"] = {"n": 10, "size": 32, "fractions": {"blob": 1.0}}
    with pytest.raises(RecipeError, match="blob"):
        run_stage(recipe_for(tmp_path, **simulated), run, "acquire")
    assert states(recipe, run)["acquire"] == "up to date"
    assert len(list((run / "acquire/images").rglob("*.png"))) == 10
    assert not list(run.glob(".*.former"))


def test_the_former_result_comes_back_with_its_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = recipe_for(data), tmp_path / "run"
    run_stage(recipe, run, "acquire")
    before = run_stage(recipe, run, "clean")
    other = recipe_for(data, clean={"smallest_side": 40})
    with monkeypatch.context() as patch:
        patch.setattr("morphoscope.clean.clean", _cut)
        with pytest.raises(OSError, match="cut"):
            run_stage(other, run, "clean")
    assert states(other, run)["clean"] == "cut off"
    assert run_stage(recipe, run, "clean") == before
    # And is gone when the other one is whole.
    run_stage(other, run, "clean")
    assert not list(run.glob(".*.former"))


def _cut(*_: object, out: Path, **__: object) -> None:
    (out / "half.parquet").write_text("half")
    raise OSError("cut")


def test_files_behind_links_are_noticed(data: Path, tmp_path: Path) -> None:
    (data / "round").rename(tmp_path / "round")
    (data / "round").symlink_to(tmp_path / "round")
    (tmp_path / "round" / "loop").symlink_to(data)
    recipe, run = recipe_for(data), tmp_path / "run"
    run_stage(recipe, run, "acquire")
    assert states(recipe, run)["acquire"] == "up to date"
    next((tmp_path / "round").glob("*.png")).unlink()
    assert states(recipe, run)["acquire"] == "out of date"


def test_images_outside_of_the_data_are_noticed(data: Path, tmp_path: Path) -> None:
    files = sorted(data.rglob("*.png"))
    labels = pl.DataFrame(
        {"file": [str(f) for f in files], "class": [f.parent.name for f in files]}
    )
    (tmp_path / "table").mkdir()
    pl.DataFrame(labels).write_csv(tmp_path / "table/labels.csv")
    table = {"source": "table", "data": str(tmp_path / "table")}
    recipe, run = recipe_for(data, acquire=table), tmp_path / "run"
    for stage in EARLY:
        run_stage(recipe, run, stage)
    assert set(states(recipe, run).values()) == {"up to date"}
    os.truncate(files[0], 0)
    assert states(recipe, run) == {
        "acquire": "up to date",
        "clean": "out of date",
        "split": "waiting",
    }
    assert run_stage(recipe, run, "clean").summary["rejects"] == {"empty": 1}


def test_ctrl_c_is_answered_with_one_sentence(tmp_path: Path) -> None:
    recipe = tmp_path / "many.toml"
    recipe.write_text('name = "many"\n[simulate]\nn = 9000\n[engine]\nworkers = 2\n')
    command = [sys.executable, "-m", "morphoscope", "acquire", str(recipe), "--out"]
    # As a terminal does it: every process of the group gets the signal.
    process = subprocess.Popen(
        [*command, str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list(tmp_path.glob("run/acquire/shards/*.parquet")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.splitlines()[1:] == ["morphoscope: stopped; run the same command to go on"]


def test_networks_that_a_changed_recipe_would_train_again_are_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = {"network": "resnet10", "width": 0.125, "epochs": 1, "orientations": 1}
    run = tmp_path / "run"

    def trained(force: bool = False, **changes: object) -> tuple[list[bytes], str]:
        recipe = recipe_for(
            data,
            prepare={"size": 24},
            split={"validation": 0.3, "test": 0.3},
            train={**train, **changes},
        )
        for stage in (*EARLY, "prepare"):
            run_stage(recipe, run, stage)
        run_stage(recipe, run, "train", force=force)
        files = sorted(run.glob("train/members/*/checkpoint.safetensors"))
        return [file.read_bytes() for file in files], capsys.readouterr().err

    (one,), _ = trained()
    (first, second), said = trained(members=2)
    assert first == one != second
    assert "member 1 is taken from the former training" in said
    assert "member 2 is taken" not in said
    # With another setting of the networks nothing is, nor is it when all is asked for again.
    (other, _), said = trained(members=2, epochs=2)
    assert other != one
    assert "is taken" not in said
    assert "is taken" not in trained(members=2, epochs=2, force=True)[1]
    assert not list(run.glob(".train.former"))


def test_what_was_asked_for_anew_is_anew_after_a_kill(data: Path, tmp_path: Path) -> None:
    given: list[Path | None] = []

    def work(job: Job) -> dict[str, object]:
        given.append(job.former)
        if len(given) == 2:
            raise KeyboardInterrupt
        (job.folder("toy") / "result").write_text(str(job.recipe.seed))
        return {}

    toy = Stage("toy", (), (), lambda recipe: {"seed": recipe.seed}, work)

    def run(seed: int, force: bool = False) -> None:
        job = Job(recipe_for(data, seed=seed), tmp_path / "run")
        (job.folder("toy")).mkdir(parents=True, exist_ok=True)
        run_if_needed(toy, job, force=force)

    run(1)
    with pytest.raises(KeyboardInterrupt):
        run(2, force=True)
    run(2)
    run(3)
    former = tmp_path / "run/.toy.former"
    assert given == [None, None, None, former]


def test_a_result_that_was_half_put_aside_is_put_aside_whole(data: Path, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def work(job: Job) -> dict[str, object]:
        seen.append(sorted(path.name for path in job.former.iterdir()) if job.former else [])
        for name in ("a", "b"):
            (job.folder("toy") / name).write_text(name)
        return {}

    toy = Stage("toy", (), (), lambda recipe: {"seed": recipe.seed}, work)
    folder, former = tmp_path / "run/toy", tmp_path / "run/.toy.former"
    folder.mkdir(parents=True)
    run_if_needed(toy, Job(recipe_for(data, seed=1), tmp_path / "run"))
    # As a kill between two renames leaves it.
    former.mkdir()
    (folder / "a").rename(former / "a")
    run_if_needed(toy, Job(recipe_for(data, seed=2), tmp_path / "run"))
    assert seen == [[], ["a", "b", "stage.json"]]
