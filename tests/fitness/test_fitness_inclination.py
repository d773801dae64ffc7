"""A model of inclinations on drawn discs: errors, rejects and spread of what it says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.bundle import open_bundle
from morphoscope.engine import Engine
from morphoscope.evaluate.assess import Resampling
from morphoscope.fitness import fitness
from morphoscope.fitness.agreement import agreement
from morphoscope.fitness.verdict import NOT_FIT

RESAMPLING = Resampling(500, 0.95, 0)


def answered(error: np.ndarray, half: float) -> pl.DataFrame:
    truth = np.linspace(20, 70, len(error))
    value = truth + error
    return pl.DataFrame(
        {
            "truth": truth,
            "inclination": value,
            "inclination_low": value - half,
            "inclination_high": value + half,
            "inclination_low_90": value - 2 * half,
            "inclination_high_90": value + 2 * half,
        }
    )


def test_errors_and_coverage_stand_beside_those_of_the_card() -> None:
    bundle = open_bundle("inclination")
    card = bundle.manifest["scores"]["scores"]
    error = np.random.default_rng(1).normal(0, 10, 400)
    found = agreement(bundle, answered(error, 10.0), RESAMPLING)
    mae = found["scores"]["mae"]
    assert mae["new"]["value"] == pytest.approx(np.abs(error).mean())
    assert mae["promised"]["value"] == card["mae"]["value"]
    assert mae["gap"]["value"] == pytest.approx(np.abs(error).mean() - card["mae"]["value"])
    assert mae["gap"]["low"] > 2
    assert found["scores"]["coverage_68"]["new"]["value"] == np.mean(np.abs(error) <= 10)
    assert found["spread"] == pytest.approx(np.abs(error).std())


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Thin bright discs in frames of 64 pixels, with their inclinations."""
    folder = tmp_path_factory.mktemp("discs")
    random = np.random.default_rng(4)
    y, x = np.mgrid[:64, :64] - 31.5
    rows = []
    for index in range(40):
        truth = random.uniform(35, 75)
        light = np.exp(-np.hypot(x, y / np.cos(np.radians(truth))) / 7)
        image = 190 * light[..., None] * [0.8, 0.9, 1.0] + random.normal(14, 4, (64, 64, 3))
        file = folder / f"disc-{index}.png"
        cv2.imwrite(str(file), np.clip(image, 0, 255).astype(np.uint8))
        rows.append({"id_str": file.stem, "file_loc": str(file), "inclination": truth})
    return pl.DataFrame(rows)


def test_what_is_no_angle_of_these_discs_refuses_the_model(
    discs: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    turned = discs.with_columns((90 - pl.col("inclination")).alias("inclination"))
    turned.write_csv(labels)
    images = tmp_path / "images.csv"
    discs.drop("inclination").write_csv(images)
    found = fitness("inclination", images, engine=inline, labels=labels, column="inclination")
    assert found["verdict"] == NOT_FIT
    assert "mean absolute error" in found["reasons"][0]


def test_labels_asked_for_follow_the_spread(
    discs: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    discs.write_csv(labels)
    ask = {"engine": inline, "labels": labels, "column": "inclination"}
    found = fitness("inclination", labels, precision=0.1, **ask)
    needed = (1.96 * found["agreement"]["spread"] / 0.1) ** 2 - 40
    assert found["labels_needed"] == pytest.approx(needed, rel=0.1)
    assert set(found["answers"]) == {"rejects"}
