"""The whole stage: its files, their agreement with the model, and its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import metrics as reference
from striped_run import small_recipe, write_run

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.errors import CheckpointError, SplitError, StageError, StoreError
from morphoscope.evaluate import evaluate
from morphoscope.networks.model import load_model
from morphoscope.prepare import open_store
from morphoscope.recipe import EvaluateSettings

FILES = {"metrics.json", "predictions.parquet", "calibration.json", "report.html"}


@pytest.fixture(scope="module")
def evaluated(striped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    summary = evaluate(small_recipe(), run=striped, out=out)
    (out.parent / "summary.json").write_text(json.dumps(summary))
    return out


def probabilities(frame: pl.DataFrame, classes: list[str]) -> np.ndarray:
    return frame.select(f"p_{name}" for name in classes).to_numpy()


def test_it_writes_its_files_and_nothing_else(evaluated: Path):
    assert {path.name for path in evaluated.iterdir()} == FILES
    summary = json.loads((evaluated.parent / "summary.json").read_text())
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert summary["accuracy"] == metrics["scores"]["accuracy"]
    assert summary["n_test"] == metrics["n_test"] == sum(map(sum, metrics["confusion"]))


def test_predictions_are_the_calibrated_answers_of_the_model(evaluated: Path, striped: Path):
    frame = read_catalogue(evaluated / "predictions.parquet").frame
    classes = ["none", "one", "two"]
    assert frame.columns[:5] == ["id_str", "file_loc", "split", "label", "class"]
    assert set(frame["split"]) == {"validation", "test"}
    store, model = open_store(striped / "prepare"), load_model(striped / "train" / "model")
    row = {name: index for index, name in enumerate(store.catalogue["id_str"])}
    rows = np.array([row[name] for name in frame["id_str"]])
    with torch.inference_mode():
        logs = model(torch.from_numpy(np.asarray(store.images[rows]))).double()
    temperature = json.loads((evaluated / "calibration.json").read_text())["temperature"]
    expected = (logs / temperature).softmax(1).numpy()
    assert probabilities(frame, classes) == pytest.approx(expected, abs=1e-4)
    assert frame["label"].to_list() == store.catalogue["class"][rows].to_list()


def test_metrics_are_those_of_the_test_rows_of_the_predictions(evaluated: Path):
    frame = pl.read_parquet(evaluated / "predictions.parquet").filter(pl.col("split") == "test")
    metrics = json.loads((evaluated / "metrics.json").read_text())
    scores, classes = metrics["scores"], metrics["classes"]
    truth = [classes.index(name) for name in frame["label"]]
    answer = [classes.index(name) for name in frame["class"]]
    assert scores["accuracy"]["value"] == pytest.approx(np.mean(np.equal(truth, answer)))
    assert 0.5 < scores["accuracy"]["value"] < 1
    assert scores["macro_f1"]["value"] == pytest.approx(
        reference.f1_score(truth, answer, average="macro")
    )
    assert scores["log_loss"]["value"] == pytest.approx(
        reference.log_loss(truth, y_proba=probabilities(frame, classes)), rel=1e-9
    )
    assert metrics["confusion"] == reference.confusion_matrix(truth, answer).tolist()


def test_the_temperature_does_not_see_the_test_split(
    striped: Path, evaluated: Path, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(striped, run)
    catalogue = read_catalogue(run / "prepare" / "catalogue.parquet")
    spoilt = catalogue.frame.with_columns(
        pl.when(pl.col("split") == "test").then(pl.lit("one")).otherwise("class").alias("class")
    )
    write_catalogue(run / "prepare" / "catalogue.parquet", spoilt, catalogue.metadata)
    evaluate(small_recipe(), run=run, out=tmp_path / "out")
    before = (evaluated / "calibration.json").read_text()
    assert (tmp_path / "out" / "calibration.json").read_text() == before


def test_again_gives_the_same_numbers(striped: Path, evaluated: Path, tmp_path: Path):
    evaluate(small_recipe(), run=striped, out=tmp_path)
    assert (tmp_path / "metrics.json").read_text() == (evaluated / "metrics.json").read_text()


def test_without_calibration_the_temperature_is_one(striped: Path, tmp_path: Path):
    settings = EvaluateSettings(bootstrap=100, gallery=0, explain=0, calibrate=False)
    evaluate(small_recipe(settings), run=striped, out=tmp_path)
    assert json.loads((tmp_path / "calibration.json").read_text())["temperature"] == 1.0
    assert "evaluate.explain is 0" in (tmp_path / "report.html").read_text()


def test_orientations_and_members_are_the_models_own(tmp_path: Path):
    run = write_run(tmp_path / "run", ["none", "one"], n=90, orientations=8)
    summary = evaluate(small_recipe(), run=run, out=tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert summary["n_test"] == (frame["split"] == "test").sum()


@pytest.fixture
def broken(striped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(striped, tmp_path / "run"))


def resplit(run: Path, expression: pl.Expr) -> None:
    catalogue = read_catalogue(run / "prepare" / "catalogue.parquet")
    frame = catalogue.frame.with_columns(expression)
    write_catalogue(run / "prepare" / "catalogue.parquet", frame, catalogue.metadata)


def test_no_model(broken: Path, tmp_path: Path):
    shutil.rmtree(broken / "train")
    with pytest.raises(StageError, match=r"no trained model.*morphoscope train"):
        evaluate(small_recipe(), run=broken, out=tmp_path)


def test_no_store(tmp_path: Path):
    with pytest.raises(StoreError, match="morphoscope prepare"):
        evaluate(small_recipe(), run=tmp_path, out=tmp_path)


def test_model_of_other_classes(broken: Path, tmp_path: Path):
    path = broken / "train" / "model" / "model.json"
    path.write_text(path.read_text().replace('"two"', '"three"'))
    with pytest.raises(
        CheckpointError, match=r"three.*expected the store's classes none, one, two"
    ):
        evaluate(small_recipe(), run=broken, out=tmp_path)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_split_without_images(broken: Path, tmp_path: Path, split: str):
    resplit(broken, pl.col("split").replace(split, "train"))
    with pytest.raises(StoreError, match=f"no image in the split '{split}'"):
        evaluate(small_recipe(), run=broken, out=tmp_path)


def test_split_without_classes(broken: Path, tmp_path: Path):
    resplit(broken, pl.when(pl.col("split") != "validation").then("class").alias("class"))
    with pytest.raises(SplitError, match=r"no image of the validation split has a class"):
        evaluate(small_recipe(), run=broken, out=tmp_path)
    assert not (tmp_path / "metrics.json").exists()
