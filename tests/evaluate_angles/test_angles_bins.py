"""Bins hold every galaxy once and say what its galaxies say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from morphoscope.evaluate.angles.bins import axes_of, score_bins, score_thirds
from morphoscope.evaluate.angles.sample import Measured, draw
from morphoscope.evaluate.assess import Resampling

N = 600


@pytest.fixture(scope="module")
def measured() -> Measured:
    rng = np.random.default_rng(1)
    truth = np.concatenate([[0.0, 30.0, 60.0, 90.0], rng.uniform(0, 90, N - 4)])
    value = np.clip(truth + rng.normal(0, 8, N), 0, 90)
    return Measured(truth, value, value - 8, value + 8, value - 13, value + 13)


@pytest.fixture(scope="module")
def properties() -> pl.DataFrame:
    rng = np.random.default_rng(2)
    radius = rng.uniform(2, 20, N)
    radius[:50] = np.nan
    return pl.DataFrame(
        {
            "half_light_radius_pixels": radius,
            "signal_to_noise": pl.Series(rng.uniform(1, 9, N)).clip(3, 7),
            "bulge_fraction": ["faint"] * N,
            "pixel_scale": [0.4] * N,
        }
    )


def test_axes_are_what_the_catalogue_holds(measured: Measured, properties: pl.DataFrame) -> None:
    axes = axes_of(measured, properties)
    # Text is no property, and one value for all is no axis.
    assert [axis.key for axis in axes] == [
        "inclination_true",
        "inclination",
        "half_light_radius_pixels",
        "signal_to_noise",
    ]
    assert [len(axis.edges) for axis in axes[:3]] == [10, 10, 7]
    assert [axis.key for axis in axes_of(measured, pl.DataFrame())] == [
        "inclination_true",
        "inclination",
    ]


def test_every_galaxy_is_in_one_bin(measured: Measured, properties: pl.DataFrame) -> None:
    draws = draw(N, None, Resampling(100, 0.95, 1))
    for axis in axes_of(measured, properties):
        bins = score_bins(axis, measured, {}, draws)["bins"]
        assert sum(entry["n"] for entry in bins) == np.isfinite(axis.values).sum()
        inner = [entry["high"] for entry in bins[:-1]]
        assert inner == [entry["low"] for entry in bins[1:]]


def test_bins_score_their_own_galaxies(measured: Measured, properties: pl.DataFrame) -> None:
    draws = draw(N, None, Resampling(100, 0.95, 1))
    axis = axes_of(measured, properties)[2]
    guess = np.full(N, 50.0)
    guess[100:200] = np.nan
    found = score_bins(axis, measured, {"constant": guess}, draws)["bins"][2]
    inside = (axis.values >= found["low"]) & (axis.values < found["high"])
    error = np.abs(measured.value - measured.truth)
    assert found["mae"]["value"] == pytest.approx(error[inside].mean())
    assert found["coverage_68"]["value"] == measured.held_68[inside].mean()
    common = inside & np.isfinite(guess)
    other = found["others"]["constant"]
    assert other["n"] == common.sum() < inside.sum()
    assert other["other"]["mae"]["value"] == pytest.approx(
        np.abs(50 - measured.truth[common]).mean()
    )


def test_thirds_share_no_galaxy_and_leave_none_out(measured: Measured) -> None:
    thirds = score_thirds(measured, 0.95)
    for by in ("predicted", "true"):
        assert sum(entry["coverage_68"]["n"] for entry in thirds[by]) == N
    low = measured.truth < 30
    assert thirds["true"][0]["coverage_90"]["value"] == measured.held_90[low].mean()
    few = measured.take(measured.truth > 70)
    assert [entry["low"] for entry in score_thirds(few, 0.95)["true"]] == [60]
