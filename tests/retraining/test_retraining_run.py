"""A model learns on from new labels, and nothing that judged the old one teaches the new one."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from morphoscope.bundle import open_bundle
from morphoscope.catalog import read_catalogue
from morphoscope.errors import BundleError, LabelError, RecipeError, StageError, WeightsError
from morphoscope.networks import load_model
from morphoscope.networks.pretrained import open_weights
from morphoscope.pipeline import read_run, status
from morphoscope.recipe import Recipe, changed
from morphoscope.retraining import retrain
from morphoscope.retraining.labels import Source
from morphoscope.retraining.together import TABLE
from morphoscope.train.checks import check_settings


@pytest.fixture(scope="module")
def labels(
    old_sky: pl.DataFrame, new_sky: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Labels of the new galaxies, and other ones of ten old galaxies."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    again = old_sky.head(10).with_columns(
        pl.col("class").replace({"round": "long", "long": "round"})
    )
    pl.concat([new_sky, again]).rename({"class": "answer"}).write_csv(path)
    return path


@pytest.fixture(scope="module")
def renewed(
    recipe: Recipe, old_run: Path, labels: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("runs") / "new"
    return out, retrain(recipe, Source(labels, "answer"), run=old_run, out=out)


def splits(run: Path) -> pl.DataFrame:
    return read_catalogue(run / "split/catalogue.parquet").frame


def test_old_test_galaxies_stay_test_and_new_ones_are_shared_out(
    renewed: tuple[Path, dict], old_run: Path
) -> None:
    out, found = renewed
    before, after = splits(old_run), splits(out)
    both = before.select("id_str", "split").join(after, on="id_str", suffix="_after")
    assert both.height == before.height
    assert (both["split"] == both["split_after"]).all()
    fresh = after.join(before, on="id_str", how="anti")
    counts = dict(fresh["split"].value_counts().iter_rows())
    assert sum(counts.values()) == 80
    assert counts["test"] == pytest.approx(24, abs=2)
    assert set(counts) == {"train", "validation", "test"}
    assert found["labels"]["relabelled"] == 10
    assert sum(found["labels"]["n"].values()) == 90


def test_a_new_label_wins_over_the_old_one(
    renewed: tuple[Path, dict], old_sky: pl.DataFrame
) -> None:
    after = splits(renewed[0]).filter(pl.col(TABLE).is_not_null())
    both = after.join(old_sky, on="id_str", suffix="_old")
    assert both.height == 10
    assert (both["class"] != both["class_old"]).all()


def test_both_parts_of_the_test_are_compared_and_the_card_says_from_what(
    renewed: tuple[Path, dict], old_run: Path
) -> None:
    out, found = renewed
    old = open_bundle(old_run / "export/shapes")
    new = open_bundle(found["bundle"])
    assert (found["from"], found["to"]) == (old.id, new.id)
    tested = splits(out).filter(pl.col("split") == "test")
    fresh = tested[TABLE].is_not_null().sum()
    assert found["comparison"]["new"]["n"] == fresh
    assert found["comparison"]["old"]["n"] == tested.height - fresh
    card = (new.folder / "card.md").read_text()
    assert f"**retrained** from the model `{old.id}`" in card
    assert "90 new labels of labels.csv, 10 of galaxies that had one before" in card


def test_it_begins_with_every_network_of_the_old_model(
    renewed: tuple[Path, dict], old_run: Path
) -> None:
    made = read_run(renewed[0])
    assert made.train.epochs == 1
    assert made.train.learning_rate == pytest.approx(0.3e-3)
    start = open_weights(made.train, ["long", "round"])
    model = load_model(old_run / "train/model")
    for member in (0, 1):
        network = load_model(old_run / "train/model").members[0]
        start.fill(network, member)
        for name, tensor in model.members[member].state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor)


def test_called_again_it_does_nothing_anew(
    renewed: tuple[Path, dict], recipe: Recipe, old_run: Path, labels: Path
) -> None:
    out, found = renewed
    began = {one.stage: one.record.started for one in status(read_run(out), out) if one.record}
    again = retrain(recipe, Source(labels, "answer"), run=old_run, out=out)
    assert again == found
    assert {one.stage: one.record.started for one in status(read_run(out), out)} == began


def test_a_model_of_other_classes_or_networks_is_no_beginning(
    old_run: Path, recipe: Recipe, tmp_path: Path
) -> None:
    model = str(old_run / "train/model")
    train = changed(recipe, {"train.weights": model}).train
    with pytest.raises(WeightsError, match="answers long, round"):
        open_weights(train, ["round", "long"])
    with pytest.raises(WeightsError, match="has no resnet18"):
        open_weights(train.model_copy(update={"network": "resnet18"}))
    more = open_weights(train)
    with pytest.raises(WeightsError, match="network 2 of"):
        more.fill(load_model(old_run / "train/model").members[0], 2)
    shutil.copy(old_run / "train/model/model.json", tmp_path)
    with pytest.raises(WeightsError, match="no whole model"):
        open_weights(train.model_copy(update={"weights": str(tmp_path)}))
    options = {"classes": [], "channels": 3, "size": 32}
    check_settings(train, recipe.augment, recipe.balance, **options)


def test_what_does_not_belong_together_is_refused(
    recipe: Recipe, old_run: Path, labels: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    source, out = Source(labels, "answer"), tmp_path / "out"
    with pytest.raises(StageError, match="is the run of the old model"):
        retrain(recipe, source, run=old_run, out=old_run)
    with pytest.raises(StageError):
        retrain(recipe, source, run=tmp_path, out=out)
    with pytest.raises(BundleError, match="is not the model of"):
        retrain(recipe, source, run=old_run, out=out, bundle=tiny_bundle)
    other = changed(recipe, {"prepare.size": 48})
    with pytest.raises(RecipeError, match="is not that of"):
        retrain(other, source, run=old_run, out=out)
    with pytest.raises(LabelError, match="--as LABEL=CLASS"):
        retrain(recipe, Source(labels, "id_str"), run=old_run, out=out)
    assert not out.exists()
