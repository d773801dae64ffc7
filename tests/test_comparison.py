"""Variants on their way: trained once each, taken up after a kill, left out when they fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from morphoscope.cli import main
from morphoscope.comparison import compare_variants
from morphoscope.comparison.answering import Questions
from morphoscope.comparison.entry import Entry
from morphoscope.comparison.study import _require_class, _require_same_images
from morphoscope.comparison.trainings import training_of
from morphoscope.errors import RecipeError, SourceError, TrainingError
from morphoscope.recipe import Recipe, load_recipe

RECIPE = """
name = "tiny"
seed = 3
[acquire]
source = "folder"
[split]
validation = 0.2
test = 0.3
[prepare]
size = 32
[augment]
mirror = false
[train]
network = "resnet10"
width = 0.125
epochs = 2
batch_size = 16
learning_rate = 0.01
checkpoint_s = 0.0
threads = 1
precision = "float32"
[evaluate]
bootstrap = 100
[engine]
kind = "inline"
[compare]
seeds = 2
[[compare.variants]]
name = "plain"
[[compare.variants]]
name = "four ways"
set = { "train.orientations" = 4 }
[[compare.variants]]
name = "median"
set.prepare = { denoise = "median" }
set."train.dropout" = 0.1
"""
VARIANTS = ["plain", "four ways", "median"]


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Round and long blobs, and a recipe that compares."""
    folder = tmp_path_factory.mktemp("comparison")
    random = np.random.default_rng(1)
    y, x = np.mgrid[:40, :40] - 20
    for name, ratio in (("round", 1.0), ("long", 0.3)):
        (folder / "data" / name).mkdir(parents=True)
        for index in range(40):
            light = np.exp(-np.hypot(x, y / ratio) / random.uniform(3, 9))
            image = 160 * light[..., None] + random.normal(40, 25, (40, 40, 3))
            file = folder / "data" / name / f"{name}-{index}.png"
            cv2.imwrite(str(file), np.clip(image, 0, 255).astype(np.uint8))
    path = folder / "tiny.toml"
    path.write_text(RECIPE.replace("[split]", f'data = "{folder / "data"}"\n[split]'))
    return path


@pytest.fixture(scope="module")
def compared(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    compare_variants(load_recipe(recipe_file), run)
    return run


def found(run: Path) -> dict:
    return json.loads((run / "compare" / "compare.json").read_text())


def records(run: Path) -> dict[str, int]:
    files = (run / "compare" / "trainings").rglob("stage.json")
    return {str(file.relative_to(run)): file.stat().st_mtime_ns for file in files}


def test_every_variant_answers_the_same_images_with_every_seed(compared: Path) -> None:
    results = found(compared)
    assert [one["name"] for one in results["variants"]] == VARIANTS
    table = pl.read_parquet(compared / "compare" / "predictions.parquet")
    for split, n in (("test", results["n_test"]), ("validation", results["n_validation"])):
        groups = table.filter(pl.col("split") == split).group_by("variant", "seed")
        ids = groups.agg(pl.col("id_str").sort()).sort("variant", "seed")
        assert ids.height == 6
        assert ids["id_str"].n_unique() == 1
        assert len(ids["id_str"][0]) == n
    store = pl.read_parquet(compared / "prepare" / "catalogue.parquet")
    tested = table.filter(pl.col("split") == "test")["id_str"].unique()
    assert set(tested) == set(store.filter(pl.col("split") == "test")["id_str"])
    one = table.filter(variant="plain", seed=1, split="test")
    right = (one["class"] == one["label"]).mean()
    assert results["variants"][0]["scores"]["accuracy"]["seeds"][0] == pytest.approx(right)


def test_variants_that_only_answer_differently_share_their_trainings(compared: Path) -> None:
    plain, four, median = found(compared)["variants"]
    assert plain["trainings"] == four["trainings"] != median["trainings"]
    assert len(records(compared)) == 4
    table = pl.read_parquet(compared / "compare" / "predictions.parquet").filter(seed=1)
    assert not table.filter(variant="plain")["p_round"].equals(
        table.filter(variant="four ways")["p_round"]
    )
    assert four["cost"]["flops"] == 4 * plain["cost"]["flops"]
    assert four["cost"]["parameters"] == plain["cost"]["parameters"]
    assert all(one["cost"]["images_per_s"]["cpu"] > 0 for one in (plain, four, median))
    pairs = {(p["first"], p["second"]): p for p in found(compared)["pairs"]}
    shared = [key for key, pair in pairs.items() if pair["same_trainings"]]
    assert [set(key) for key in shared] == [{"plain", "four ways"}]


def test_seeds_differ_and_variants_have_the_same_ones(compared: Path) -> None:
    table = pl.read_parquet(compared / "compare" / "predictions.parquet").filter(variant="plain")
    assert not table.filter(seed=1)["p_round"].equals(table.filter(seed=2)["p_round"])


def test_what_is_finished_is_not_done_again(recipe_file: Path, compared: Path) -> None:
    before, results = records(compared), found(compared)
    renamed = recipe_file.read_text().replace('name = "median"', 'name = "smooth"')
    other = recipe_file.with_name("renamed.toml")
    other.write_text(renamed)
    compare_variants(load_recipe(other), compared)
    assert records(compared) == before
    again = found(compared)
    assert again["variants"][2]["name"] == "smooth"
    assert again["variants"][2]["scores"] == results["variants"][2]["scores"]


def test_the_command_prints_the_conclusion_and_where_the_rest_is(
    recipe_file: Path, compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(recipe_file), "--out", str(compared)])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(found(compared)["conclusion"][0])
    assert str(compared / "compare" / "report.html") in printed
    assert "Two trainings each say little" in printed


def test_after_a_kill_it_goes_on_and_ends_the_same(
    recipe_file: Path, compared: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    # The images are there, so that the kill falls into a training.
    shutil.copytree(compared, run, ignore=shutil.ignore_patterns("compare", "recipe.json"))
    command = [sys.executable, "-m", "morphoscope", "compare", str(recipe_file), "--out", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    trainings = run / "compare" / "trainings"
    finished = None
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        states = {p: json.loads(p.read_text())["state"] for p in trainings.rglob("stage.json")}
        going = [p for p, state in states.items() if state == "running"]
        done = [p for p, state in states.items() if state == "done"]
        if done and going and list(going[0].parent.rglob("checkpoint.safetensors")):
            finished = done[0]
            break
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert finished is not None
    assert not (run / "compare" / "compare.json").exists()
    before = finished.stat().st_mtime_ns
    compare_variants(load_recipe(recipe_file), run)
    assert finished.stat().st_mtime_ns == before
    compare_variants(load_recipe(recipe_file), compared)
    whole, resumed = (
        pl.read_parquet(folder / "compare" / "predictions.parquet") for folder in (compared, run)
    )
    assert whole.equals(resumed)


def test_a_variant_that_fails_is_left_out_and_named(
    recipe_file: Path, compared: Path, tmp_path: Path
) -> None:
    run = tmp_path / "failing"
    shutil.copytree(compared, run)
    bad = '[[compare.variants]]\nname = "wild"\nset = { "train.learning_rate" = 1e30 }\n'
    path = recipe_file.with_name("wild.toml")
    path.write_text(recipe_file.read_text() + bad)
    results = compare_variants(load_recipe(path), run)
    assert list(results["failed"]) == ["wild"]
    assert "loss" in results["failed"]["wild"]
    assert [one["name"] for one in results["variants"]] == VARIANTS
    assert "<b>wild</b>: " in (run / "compare" / "report.html").read_text()

    only = recipe_file.read_text().split("[[compare.variants]]")
    path.write_text(only[0] + "[[compare.variants]]" + only[1] + bad)
    with pytest.raises(TrainingError, match=r"1 of 2 variants could be trained \(wild: the loss"):
        compare_variants(load_recipe(path), run)


def test_a_training_without_memory_is_left_out(
    recipe_file: Path, compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "small machine"
    shutil.copytree(compared, run)
    more = '[[compare.variants]]\nname = "large"\nset = { "train.batch_size" = 32 }\n'
    path = recipe_file.with_name("large.toml")
    path.write_text(recipe_file.read_text() + more)

    def train(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("morphoscope.train.train", train)
    results = compare_variants(load_recipe(path), run)
    assert "CUDA out of memory" in results["failed"]["large"]
    assert len(results["variants"]) == 3


def test_the_images_of_the_majority_count() -> None:
    def entry(name: str, ids: list[str]) -> Entry:
        asked = Questions([], {}, {"validation": ["v"], "test": ids}, {}, {})
        return Entry(name, Recipe(name="x"), asked=[asked])

    entries, failed = [entry("few", ["a"]), entry("b", ["a", "b"]), entry("c", ["a", "b"])], {}
    _require_same_images(entries, failed)
    assert [one.name for one in entries] == ["b", "c"]
    assert "1 images of a split could be prepared for few, and 2 for b; not the" in failed["few"]
    # Of two that differ one alone is left, which is then refused: never two with other images.
    entries, failed = [entry("a", ["a"]), entry("b", ["a", "b"])], {}
    _require_same_images(entries, failed)
    assert [one.name for one in entries] == ["a"]
    assert list(failed) == ["b"]


def test_weights_that_are_not_there_are_the_variants_affair(
    recipe_file: Path, compared: Path, tmp_path: Path
) -> None:
    run = tmp_path / "without"
    shutil.copytree(compared, run)
    tuned = (
        '{ "train.network" = "resnet18", "train.width" = 1.0, "train.weights" = "no.safetensors" }'
    )
    path = recipe_file.with_name("tuned.toml")
    path.write_text(
        recipe_file.read_text() + f'[[compare.variants]]\nname = "tuned"\nset = {tuned}\n'
    )
    results = compare_variants(load_recipe(path), run)
    assert "no.safetensors cannot be read" in results["failed"]["tuned"]
    assert len(results["variants"]) == 3


def test_folds_and_one_split_do_not_share_a_folder(recipe_file: Path, compared: Path) -> None:
    recipe = load_recipe(recipe_file)
    folds = load_recipe(recipe_file, ["compare.folds=3"])
    whole = training_of(recipe, compared / "prepare", 1, None, Path("out")).folder
    part = training_of(folds, compared / "prepare", 1, 0, Path("out")).folder
    assert not part.is_relative_to(whole)
    assert part.name == "0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('"balance.method" = "target"', "variant 'new'.*balance.target is empty"),
        ('"train.netwrok" = "resnet10"', "variant 'new'.*did you mean 'network'"),
        ('"train.network" = "resnet19"', "variant 'new'.*there is no network 'resnet19'"),
        ('"train.epochs" = "many"', "variant 'new'.*train.epochs"),
        ('"clean.smallest_side" = 8', "variant 'new' changes clean.smallest_side"),
        ('"split.test" = 0.2', "variant 'new' changes split.test"),
        ('"trian.epochs" = 2', "variant 'new'.*there is no setting 'trian'"),
    ],
)
def test_what_no_variant_may_set_is_said_before_anything_is_trained(
    recipe_file: Path, tmp_path: Path, change: str, message: str
) -> None:
    path = recipe_file.with_name("wrong.toml")
    added = f'[[compare.variants]]\nname = "new"\nset = {{ {change} }}\n'
    path.write_text(recipe_file.read_text() + added)
    with pytest.raises(RecipeError, match=message):
        compare_variants(load_recipe(path), tmp_path / "run")
    assert not (tmp_path / "run" / "compare" / "trainings").exists()


def changed(recipe_file: Path, *changes: str) -> Recipe:
    return load_recipe(recipe_file, changes)


def test_too_few_variants_and_names_twice(recipe_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there are no variants to compare"):
        compare_variants(changed(recipe_file, "compare.variants=[]"), tmp_path / "run")
    one = changed(recipe_file, "compare.variants=[{name='a'}]")
    with pytest.raises(RecipeError, match="there is one variant to compare"):
        compare_variants(one, tmp_path / "run")
    with pytest.raises(RecipeError, match="two variants are called 'a'"):
        changed(recipe_file, "compare.variants=[{name='a'}, {name='a'}]")
    with pytest.raises(RecipeError, match="baseline = 'b' is none of plain"):
        changed(recipe_file, "compare.baseline=b")
    with pytest.raises(RecipeError, match="folds = 1 leaves nothing"):
        changed(recipe_file, "compare.folds=1")
    with pytest.raises(RecipeError, match="score = 'class_f1' and of_class belong together"):
        changed(recipe_file, "compare.score=class_f1")


def test_a_class_that_is_not_there_is_told_before_anything_is_trained(
    recipe_file: Path, tmp_path: Path
) -> None:
    recipe = changed(recipe_file, "compare.score=class_f1", "compare.of_class=rond")
    with pytest.raises(RecipeError, match=r"of_class is 'rond'; expected one of long, round; did"):
        compare_variants(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "compare" / "trainings").exists()

    def asked(*truth: int) -> Questions:
        return Questions(["a", "b"], {}, {}, {"test": np.array(truth)}, {})

    _require_class("b", [asked(0, 1), asked(1, 0)])
    with pytest.raises(RecipeError, match="none of those of fold 1 is b"):
        _require_class("b", [asked(0, 1), asked(0, 0)])
    with pytest.raises(RecipeError, match="none of the test images is b"):
        _require_class("b", [asked(0, 0)])


def test_folds_test_every_galaxy_once(recipe_file: Path, tmp_path: Path) -> None:
    recipe = changed(
        recipe_file,
        "compare.folds=3",
        "compare.seeds=1",
        "train.epochs=1",
        "compare.score=log_loss",
    )
    results = compare_variants(recipe, tmp_path / "run")
    table = pl.read_parquet(tmp_path / "run" / "compare" / "predictions.parquet")
    tested = table.filter(split="test", variant="plain")
    assert tested.height == results["n_test"] == 80
    assert tested["id_str"].n_unique() == 80
    assert results["folds"] == 3
    assert sorted(tested["fold"].unique()) == [0, 1, 2]
    # Each fold's networks saw neither its test images nor chose by them.
    for fold in range(3):
        one = table.filter(fold=fold, variant="plain")
        parts = [set(one.filter(split=split)["id_str"]) for split in ("validation", "test")]
        assert parts[0].isdisjoint(parts[1])
    assert len(records(tmp_path / "run")) == 6
    assert results["pairs"][0]["scores"]["log_loss"]["freedom"] == 2


def test_folds_do_not_undo_a_test_split_that_is_given(recipe_file: Path, tmp_path: Path) -> None:
    recipe = changed(recipe_file, "compare.folds=3", f"split.given='{tmp_path / 'given.csv'}'")
    with pytest.raises(RecipeError, match=r"split\.given sets some apart"):
        compare_variants(recipe, tmp_path / "run")


def test_data_that_are_absent_are_no_variants_fault(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file, [f"acquire.data={tmp_path / 'nowhere'}"])
    with pytest.raises(SourceError, match="there is no"):
        compare_variants(recipe, tmp_path / "run")
