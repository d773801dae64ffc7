"""A temperature that is known is found again; what is calibrated stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from morphoscope.evaluate import calibration, metrics
from morphoscope.evaluate.bootstrap import Sums, error_interval, resample, row_sums


def drawn(temperature, n=20_000, k=4, seed=5):
    """Logits that are ``temperature`` times too large for the truth drawn from them."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, size=(n, k))
    probabilities = calibration.apply_temperature(honest, 1.0)
    truth = (rng.random((n, 1)) > probabilities.cumsum(1)).sum(1).clip(max=k - 1)
    return temperature * honest, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_known_temperature_is_recovered(temperature):
    logits, truth = drawn(temperature)
    assert calibration.fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.04)


def test_temperature_agrees_with_a_general_minimiser():
    logits, truth = drawn(3.0, n=500)

    def loss(temperature):
        return metrics.log_losses(calibration.apply_temperature(logits, temperature), truth).mean()

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert calibration.fit_temperature(logits, truth) == pytest.approx(best.x, rel=1e-5)


def test_temperature_stays_where_every_answer_is_right_and_is_bounded_where_all_are_wrong():
    logits = np.log([[0.9, 0.1]] * 8)
    assert calibration.fit_temperature(logits, np.zeros(8, int)) == 1
    assert calibration.fit_temperature(logits, np.ones(8, int)) == pytest.approx(20, rel=1e-6)
    assert np.isfinite(
        calibration.fit_temperature(np.array([[0.0, -np.inf]] * 3), np.array([0, 0, 1]))
    )


def ece(probabilities, truth):
    bins = row_sums(probabilities, truth).sum(0)[-3 * metrics.BINS :].reshape(-1, 3)
    return float(metrics.expected_calibration_error(bins)), bins


def test_calibrated_probabilities_have_no_error_but_chance():
    logits, truth = drawn(1.0, n=50_000)
    error, _ = ece(calibration.apply_temperature(logits, 1.0), truth)
    assert error < 0.008
    overconfident, _ = ece(calibration.apply_temperature(2 * logits, 1.0), truth)
    assert overconfident > 0.08


def test_chance_error_is_that_of_calibrated_models():
    errors = []
    for seed in range(60):
        logits, truth = drawn(1.0, n=300, seed=seed)
        errors.append(ece(calibration.apply_temperature(logits, 1.0), truth)[0])
    logits, _ = drawn(1.0, n=300, seed=99)
    top = calibration.apply_temperature(logits, 1.0).max(1)
    expected = calibration.chance_eces(top, np.random.default_rng(1))
    assert expected.mean() == pytest.approx(np.mean(errors), rel=0.12)
    assert expected.std() == pytest.approx(np.std(errors), rel=0.4)


@pytest.mark.parametrize("temperature", [1.0, 1.25])
def test_interval_of_the_error_covers_the_truth(temperature):
    probabilities = calibration.apply_temperature(drawn(temperature, n=200_000)[0], 1.0)
    true_error, _ = ece(probabilities, drawn(temperature, n=200_000)[1])
    found = []
    for seed in range(60):
        logits, truth = drawn(temperature, n=400, seed=100 + seed)
        some, rng = calibration.apply_temperature(logits, 1.0), np.random.default_rng(seed)
        resampled = Sums.from_flat(resample(row_sums(some, truth), 200, rng), 4).scores()["ece"]
        chance = calibration.chance_eces(some.max(1), rng, samples=200)
        found.append(error_interval(ece(some, truth)[0], resampled, chance, 400, 0.95))
    assert np.mean([one.low <= true_error <= one.high for one in found]) > 0.83
    assert all(one.low <= one.value <= one.high for one in found)


def test_temperature_changes_no_answer_and_reliability_counts_every_row():
    logits, truth = drawn(1.0, n=400)
    before = calibration.apply_temperature(logits, 1.0)
    after = calibration.apply_temperature(logits, 2.7)
    assert (before.argmax(1) == after.argmax(1)).all()
    entries = calibration.reliability(ece(before, truth)[1])
    assert sum(entry["n"] for entry in entries) == 400
    for entry in entries:
        assert entry["low"] <= entry["confidence"] <= entry["high"] + 1e-12
