"""The whole stage: its files, their agreement with the model, and its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tilted_run import CLASSES, tilted_recipe, write_run

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.errors import CheckpointError, SplitError, StageError, StoreError
from morphoscope.evaluate.angles import evaluate_angles
from morphoscope.evaluate.wording import familiar_in_words
from morphoscope.familiarity import familiarity
from morphoscope.inclination import apply_intervals
from morphoscope.networks.model import Model, load_model, save_model
from morphoscope.prepare import open_store
from morphoscope.recipe import EvaluateSettings

FILES = {"metrics.json", "predictions.parquet", "calibration.json", "report.html"}
COLUMNS = [
    *("id_str", "file_loc", "split", "label", "class", "p_disc", "p_not_disc", "p_not_galaxy"),
    *("inclination_true", "inclination", "inclination_low", "inclination_high"),
    *("inclination_low_90", "inclination_high_90", "reject"),
]


def read(out: Path, name: str) -> dict:
    return json.loads((out / name).read_text())


def known_test_discs(out: Path) -> pl.DataFrame:
    frame = pl.read_parquet(out / "predictions.parquet")
    known = pl.col("inclination_true").is_not_null() & (pl.col("label") == "disc")
    return frame.filter((pl.col("split") == "test") & known)


def change(run: Path, *expressions: pl.Expr) -> None:
    path = run / "prepare" / "catalogue.parquet"
    catalogue = read_catalogue(path)
    write_catalogue(path, catalogue.frame.with_columns(*expressions), catalogue.metadata)


@pytest.fixture
def broken(tilted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tilted, tmp_path / "run"))


def test_it_writes_its_files_and_nothing_else(judged: Path) -> None:
    assert {path.name for path in judged.iterdir()} == FILES
    summary, metrics = read(judged.parent, "summary.json"), read(judged, "metrics.json")
    for name in ("mae", "rms", "bias", "coverage_68"):
        assert summary[name] == metrics["scores"][name]
    assert summary["mae_formula"] == metrics["others"]["all"]["formula"]["other"]["mae"]
    assert summary["n_test"] == summary["mae"]["n"]
    assert "off by" in summary["headline"]


def test_predictions_are_the_calibrated_answers_of_the_model(judged: Path, tilted: Path) -> None:
    catalogue = read_catalogue(judged / "predictions.parquet")
    frame, calibration = catalogue.frame, read(judged, "calibration.json")
    assert frame.columns == COLUMNS
    assert catalogue.metadata == {"classes": CLASSES, "task": "inclination"}
    store, model = open_store(tilted / "prepare"), load_model(tilted / "train" / "model")
    place = {name: index for index, name in enumerate(store.catalogue["id_str"])}
    rows = np.array([place[name] for name in frame["id_str"]])
    with torch.inference_mode():
        raw = model(torch.from_numpy(np.asarray(store.images[rows]))).double()
    expected = (raw[:, :3] / calibration["temperature"]).softmax(1).numpy()
    assert frame.select("^p_.*$").to_numpy() == pytest.approx(expected, abs=1e-4)
    assert frame["inclination"].to_numpy() == pytest.approx(raw[:, 3].numpy(), abs=0.02)
    for coverage, suffix in ((0.68, ""), (0.9, "_90")):
        bounds = apply_intervals(calibration["intervals"], *raw[:, 3:].numpy().T, coverage)
        for side, bound in zip(("low", "high"), bounds, strict=True):
            assert frame[f"inclination_{side}{suffix}"].to_numpy() == pytest.approx(bound, abs=0.05)
    rejected = frame["p_disc"].to_numpy() < calibration["reject"]
    assert frame["reject"].is_not_null().to_list() == rejected.tolist()
    others = frame.select("p_not_disc", "p_not_galaxy").to_numpy().argmax(1)
    reasons = np.array(CLASSES)[1 + others]
    assert frame["reject"].drop_nulls().to_list() == reasons[rejected].tolist()
    truth = frame["inclination_true"].fill_null(np.nan).to_numpy()
    assert np.array_equal(truth, store.inclinations[rows], equal_nan=True)


def test_metrics_are_those_of_the_test_rows_of_the_predictions(judged: Path) -> None:
    frame, metrics = known_test_discs(judged), read(judged, "metrics.json")
    error = (frame["inclination"] - frame["inclination_true"]).to_numpy()
    scores = metrics["scores"]
    assert metrics["n_test"] == len(error)
    assert scores["rms"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert scores["mae"]["value"] == pytest.approx(np.abs(error).mean())
    assert scores["bias"]["value"] == pytest.approx(error.mean())
    held = frame["inclination_true"].is_between(frame["inclination_low"], frame["inclination_high"])
    assert scores["coverage_68"]["value"] == pytest.approx(held.mean())
    kept = frame.filter(pl.col("reject").is_null())
    assert metrics["kept"]["mae"]["n"] == kept.height


def test_the_headline_is_about_large_tilted_discs(judged: Path, tilted: Path) -> None:
    frame, metrics = known_test_discs(judged), read(judged, "metrics.json")
    radius = open_store(tilted / "prepare").catalogue.select("id_str", "half_light_radius_pixels")
    large = frame.join(radius, on="id_str").filter(
        (pl.col("half_light_radius_pixels") >= 4) & pl.col("inclination_true").is_between(20, 90)
    )
    assert 0 < large.height < frame.height
    assert metrics["headline"]["rms"]["n"] == large.height
    error = (large["inclination"] - large["inclination_true"]).abs().mean()
    assert metrics["headline"]["mae"]["value"] == pytest.approx(error)


def test_the_formula_and_the_guess_stand_beside_it(judged: Path, tilted: Path) -> None:
    metrics = read(judged, "metrics.json")
    store = open_store(tilted / "prepare")
    training = store.inclinations[store.rows("train")]
    middle = float(np.nanmedian(training))
    assert metrics["constant"]["value"] == pytest.approx(middle)
    truth = known_test_discs(judged)["inclination_true"].to_numpy()
    guess = metrics["others"]["all"]["constant"]["other"]
    assert guess["mae"]["value"] == pytest.approx(np.abs(truth - middle).mean())
    # The drawn discs are exact ellipses, so that the formula knows better than any guess.
    for way in ("formula", "formula_usual"):
        assert metrics["others"]["all"][way]["other"]["mae"]["value"] < 9
    keys = [axis["key"] for axis in metrics["bins"]]
    assert keys[2:] == ["half_light_radius_pixels", "signal_to_noise"]


def test_nothing_that_is_fitted_sees_the_test_split(
    judged: Path, broken: Path, tmp_path: Path
) -> None:
    spoilt = pl.when(pl.col("split") == "test").then(pl.lit(45.0)).otherwise("inclination")
    change(broken, spoilt.alias("inclination"))
    evaluate_angles(tilted_recipe(), run=broken, out=tmp_path)
    before = (judged / "calibration.json").read_text()
    assert (tmp_path / "calibration.json").read_text() == before
    formula = read(tmp_path, "metrics.json")["formula"]
    assert formula["q0"] == read(judged, "metrics.json")["formula"]["q0"]


def test_again_gives_the_same_numbers(tilted: Path, judged: Path, tmp_path: Path) -> None:
    evaluate_angles(tilted_recipe(), run=tilted, out=tmp_path)
    assert (tmp_path / "metrics.json").read_text() == (judged / "metrics.json").read_text()


def test_images_that_are_gone_leave_the_formula_out(broken: Path, tmp_path: Path) -> None:
    change(broken, pl.format("gone/{}", pl.col("id_str")).alias("file_loc"))
    settings = EvaluateSettings(bootstrap=100, gallery=0, calibrate=False)
    summary = evaluate_angles(tilted_recipe(settings), run=broken, out=tmp_path)
    assert summary["mae_formula"] is None
    metrics = read(tmp_path, "metrics.json")
    assert metrics["formula"]["q0"] is None
    assert sum(metrics["formula"]["flags"].values()) == metrics["n_test"]
    assert metrics["temperature"] == 1
    assert "the formula is left out" in (tmp_path / "report.html").read_text()


def test_discs_alone_are_judged_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", n=150, classes=["disc"], unknown=0)
    evaluate_angles(tilted_recipe(), run=run, out=tmp_path)
    reject = read(tmp_path, "metrics.json")["reject"]
    assert reject["auc"] is None
    assert reject["kept"]["value"] == 1
    assert "nothing is known of the rest" in (tmp_path / "report.html").read_text()


def test_a_class_absent_from_the_test_split_is_left_out(broken: Path, tmp_path: Path) -> None:
    gone = (pl.col("split") == "test") & (pl.col("class") == "not_galaxy")
    change(broken, pl.when(gone).then(pl.lit("train")).otherwise("split").alias("split"))
    evaluate_angles(tilted_recipe(), run=broken, out=tmp_path)
    assert set(read(tmp_path, "metrics.json")["reject"]["rejected"]) == {"not_disc"}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_too_few_known_inclinations(broken: Path, tmp_path: Path, split: str) -> None:
    here = pl.col("split") == split
    change(broken, pl.when(~here).then("inclination").alias("inclination"))
    with pytest.raises(StageError, match=rf"0 of \d+ discs .* {split} split .*at least 5"):
        evaluate_angles(tilted_recipe(), run=broken, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_model(broken: Path, tmp_path: Path) -> None:
    shutil.rmtree(broken / "train")
    with pytest.raises(StageError, match=r"no trained model.*morphoscope train"):
        evaluate_angles(tilted_recipe(), run=broken, out=tmp_path)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="morphoscope prepare"):
        evaluate_angles(tilted_recipe(), run=tmp_path, out=tmp_path)


def test_a_split_without_classes(broken: Path, tmp_path: Path) -> None:
    change(broken, pl.when(pl.col("split") != "test").then("class").alias("class"))
    with pytest.raises(SplitError, match=r"no image of the test split has a class"):
        evaluate_angles(tilted_recipe(), run=broken, out=tmp_path)


def test_models_of_other_answers(broken: Path, tmp_path: Path) -> None:
    path = broken / "train" / "model" / "model.json"
    text = path.read_text()
    path.write_text(text.replace('"not_disc"', '"other"'))
    with pytest.raises(CheckpointError, match=r"other.*expected the store's classes disc"):
        evaluate_angles(tilted_recipe(), run=broken, out=tmp_path)


def test_a_model_of_classes_is_refused(broken: Path, tmp_path: Path) -> None:
    folder = broken / "train" / "model"
    description = json.loads((folder / "model.json").read_text())
    del description["groups"][0]["angle"]
    save_model(Model(description), folder)
    with pytest.raises(CheckpointError, match="says nothing of inclinations"):
        evaluate_angles(tilted_recipe(), run=broken, out=tmp_path)


def test_it_knows_how_the_training_images_look(judged: Path, tilted: Path) -> None:
    metrics = json.loads((judged / "metrics.json").read_text())
    found = json.loads((judged / "calibration.json").read_text())["familiar"]
    store = open_store(tilted / "prepare")
    apart, limit = familiarity(np.array(store.images[store.rows("test")]), found)
    assert metrics["familiar"]["flagged"] == (apart > limit).sum() < 0.06 * len(apart)
    unlike, _ = familiarity(255 - np.array(store.images[:20]), found)
    assert (unlike > limit).all()
    assert familiar_in_words(metrics) in (judged / "report.html").read_text()
