"""The bundle of a model of inclinations: it answers as evaluate did, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.table import Table
from tilted_run import CLASSES, tilted_recipe, write_run

from morphoscope.bundle import export, open_bundle
from morphoscope.engine import InlineEngine
from morphoscope.evaluate.angles import evaluate_angles
from morphoscope.predict import predict
from morphoscope.recipe import CleanSettings, Recipe


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tilted_recipe().model_copy(update={"clean": CleanSettings(inclination="inclination")})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> Path:
    folder = write_run(tmp_path_factory.mktemp("tilts") / "run", n=300)
    evaluate_angles(recipe, run=folder, out=folder / "evaluate")
    export(recipe, run=folder, out=folder / "export")
    return folder


def answers(run: Path, out: Path) -> pl.DataFrame:
    summary = predict(run / "export/tilts", run / "images", out=out, engine=InlineEngine())
    assert summary["n"] == 300
    return pl.read_parquet(out) if out.suffix == ".parquet" else pl.DataFrame()


def test_it_answers_as_evaluate_did(run: Path, tmp_path: Path) -> None:
    ours = answers(run, tmp_path / "p.parquet")
    theirs = pl.read_parquet(run / "evaluate/predictions.parquet")
    both = theirs.join(ours, on="id_str", suffix="_predicted")
    assert both.height == theirs.height > 150
    for name in ("inclination", "inclination_low", "inclination_high", "inclination_low_90"):
        np.testing.assert_allclose(both[f"{name}_predicted"], both[name], atol=0.02)
    for name in CLASSES:
        np.testing.assert_allclose(both[f"p_{name}_predicted"], both[f"p_{name}"], atol=1e-4)
    # At the threshold itself rounding decides.
    threshold = open_bundle(run / "export/tilts").manifest["calibration"]["reject"]
    clear = both.filter((pl.col("p_disc") - threshold).abs() > 1e-4)
    assert clear["reject_predicted"].to_list() == clear["reject"].to_list()


def test_the_columns_of_a_table(run: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "broken.jpg").write_bytes(b"no image")
    (bad / "whole.png").write_bytes((run / "images/g0000.png").read_bytes())
    out = tmp_path / "i.fits"
    predict(run / "export/tilts", bad, out=out, engine=InlineEngine())
    table = Table.read(out)
    assert table.colnames == [
        *("id_str", "file_loc", "inclination", "inclination_low", "inclination_high"),
        *("inclination_low_90", "inclination_high_90", "reject", "p_disc", "p_not_disc"),
        *("p_not_galaxy", "flag"),
    ]
    broken, whole = table
    assert broken["flag"] == "not_an_image"
    assert np.ma.is_masked(broken["inclination"])
    low, middle, high = (whole[f"inclination{end}"] for end in ("_low", "", "_high"))
    assert 0 <= low <= middle <= high <= 90
    assert whole["inclination_low_90"] <= low < high <= whole["inclination_high_90"]


def test_a_table_without_any_image(run: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file\nabsent.jpg\n")
    predict(
        run / "export/tilts", tmp_path / "t.csv", out=tmp_path / "p.parquet", engine=InlineEngine()
    )
    frame = pl.read_parquet(tmp_path / "p.parquet")
    assert frame["flag"].to_list() == ["missing"]
    assert frame.select(pl.selectors.float()).null_count().row(0) == (1,) * 8


def test_what_is_rejected_says_what_it_is(run: Path, tmp_path: Path) -> None:
    frame = answers(run, tmp_path / "p.parquet")
    assert set(frame["reject"].drop_nulls()) <= set(CLASSES[1:])
    assert 0 < frame["reject"].null_count() < frame.height


def test_the_card_says_how_near_it_comes(run: Path) -> None:
    text = (run / "export/tilts/card.md").read_text()
    scores = json.loads((run / "evaluate/metrics.json").read_text())["headline"]
    assert f"{scores['mae']['value']:.2f}°" in text
    assert "0 face-on, 90 edge-on" in text
    assert "accuracy" not in text
    assert "model.intervals(answers, 0.68)" in text
