"""The sets of a catalogue hold what the model's threshold says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from morphoscope.bundle import open_bundle
from morphoscope.bundle.opening import content_id
from morphoscope.engine import Engine
from morphoscope.predict import predict
from tiny_run import CLASSES

P = [f"p_{name}" for name in CLASSES]


def with_sets(bundle: Path, folder: Path, sets: dict[str, float] | None) -> Path:
    """Copy of a bundle with another threshold, or with none."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["calibration"] = {"temperature": manifest["calibration"]["temperature"]}
    if sets:
        manifest["calibration"]["sets"] = sets
    manifest["id"] = content_id(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def test_the_bundle_has_the_threshold_of_evaluate(tiny_run: Path, tiny_bundle: Path) -> None:
    metrics = json.loads((tiny_run / "evaluate" / "metrics.json").read_text())
    threshold = metrics["sets"]["overall"]["threshold"]["value"]
    assert open_bundle(tiny_bundle).sets == {"coverage": 0.9, "threshold": threshold}


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.4, 0.99])
def test_sets_hold_what_reaches_the_threshold_likeliest_first(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path, threshold: float
) -> None:
    sets = {"coverage": 0.9, "threshold": threshold}
    bundle = with_sets(tiny_bundle, tmp_path / "bundle", sets)
    predict(bundle, galaxies, out=tmp_path / "p.parquet", engine=inline)
    found = pl.read_parquet(tmp_path / "p.parquet")
    for row in found.iter_rows(named=True):
        p = np.array([row[name] for name in P])
        order = [CLASSES[i] for i in np.argsort(-p)]
        n = max(1, int((p >= threshold).sum()))
        assert row["set"].split("|") == order[:n]
        assert row["set"].split("|")[0] == row["class"]


def test_sets_of_validation_hold_the_truth_as_often_as_promised(
    tiny_run: Path, tiny_bundle: Path, inline: Engine, tmp_path: Path
) -> None:
    rows = pl.read_parquet(tiny_run / "evaluate" / "predictions.parquet")
    rows = rows.filter(pl.col("split") == "validation").select("id_str", "file_loc", "label")
    rows.write_parquet(tmp_path / "table.parquet")
    predict(tiny_bundle, tmp_path / "table.parquet", out=tmp_path / "p.parquet", engine=inline)
    sets = pl.read_parquet(tmp_path / "p.parquet")["set"].str.split("|")
    held = [label in one for label, one in zip(rows["label"], sets, strict=True)]
    assert np.mean(held) >= 0.9


def test_a_model_without_a_threshold_gives_no_sets(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    bundle = with_sets(tiny_bundle, tmp_path / "bundle", None)
    assert open_bundle(bundle).sets is None
    predict(bundle, galaxies, out=tmp_path / "p.parquet", engine=inline)
    assert "set" not in pl.read_parquet(tmp_path / "p.parquet").columns
