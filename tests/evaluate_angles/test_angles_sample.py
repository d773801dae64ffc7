"""Scores of answers are what numpy says, and their intervals hold the true ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from morphoscope.evaluate.angles.sample import (
    Draws,
    Measured,
    compare,
    counted,
    draw,
    score_errors,
    score_measured,
)
from morphoscope.evaluate.assess import Resampling

SETTINGS = Resampling(samples=400, confidence=0.95, seed=3)


def galaxies(n: int, seed: int = 1, spread: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 90, n)
    return truth, truth + 2 + rng.normal(0, spread, n)


def test_scores_are_those_of_numpy() -> None:
    truth, value = galaxies(301)
    error = value - truth
    found = score_errors(truth, value, draw(301, None, SETTINGS))
    expected = {
        "rms": np.sqrt(np.mean(error**2)),
        "mae": np.abs(error).mean(),
        "median": np.median(np.abs(error)),
        "bias": error.mean(),
    }
    for name, number in expected.items():
        score = found[name]
        assert score["value"] == pytest.approx(number)
        assert score["low"] < score["value"] < score["high"]
        assert score["n"] == 301


def test_a_sample_is_a_sample() -> None:
    times = draw(50, None, SETTINGS).times
    assert (times.sum(1) == 50).all()
    assert times.max() > 2
    # Poisson of one: a galaxy is absent from 36.4 % of the samples of 50.
    assert (times == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


def test_groups_are_drawn_whole() -> None:
    groups = np.array(["a", "b", "b", "b", "c"])
    times = draw(5, groups, SETTINGS).times
    assert (times[:, 1] == times[:, 2]).all()
    assert (times[:, 1] == times[:, 3]).all()
    assert (times[:, [0, 1, 4]].sum(1) == 3).all()


def test_means_and_medians_of_samples_are_those_of_the_repeated_rows() -> None:
    values = np.random.default_rng(4).normal(size=31)
    draws = draw(31, None, SETTINGS)
    repeated = [np.repeat(values, times) for times in draws.times]
    assert draws.means(values[:, None])[:, 0] == pytest.approx([r.mean() for r in repeated])
    # Of an odd number there is one in the middle.
    assert draws.medians(values) == pytest.approx([np.median(r) for r in repeated])


def test_a_part_that_is_not_drawn_has_no_score() -> None:
    draws = Draws(np.array([[0, 0, 3], [1, 1, 1]], np.uint8), 0.95)
    part = draws.take(np.array([True, True, False]))
    values = np.array([4.0, 6.0])
    assert np.isnan(part.means(values[:, None])[0, 0])
    assert np.isnan(part.medians(values)[0])
    assert part.means(values[:, None])[1, 0] == 5


def test_the_interval_of_the_mean_is_students() -> None:
    truth, value = galaxies(400)
    found = score_errors(truth, value, draw(400, None, Resampling(4000, 0.95, 1)))["bias"]
    error = value - truth
    low, high = stats.t.interval(0.95, 399, error.mean(), stats.sem(error))
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.06)


def test_coverage_and_width() -> None:
    truth, value = galaxies(200)
    measured = Measured(truth, value, value - 5, value + 5, value - 30, value + 30)
    found = score_measured(measured, draw(200, None, SETTINGS))
    assert found["coverage_68"]["value"] == (np.abs(truth - value) <= 5).mean()
    assert found["width_68"]["value"] == pytest.approx(10)
    # All were held, which is no certainty.
    assert found["coverage_90"]["value"] == 1
    assert found["coverage_90"]["low"] == pytest.approx(0.025 ** (1 / 200))


def test_without_wider_intervals_none_are_scored() -> None:
    truth, value = galaxies(20)
    unknown = np.full(20, np.nan)
    measured = Measured(truth, value, value - 5, value + 5, unknown, unknown)
    assert "coverage_90" not in score_measured(measured, draw(20, None, SETTINGS))


def test_two_ways_are_compared_on_the_galaxies_of_both() -> None:
    truth, value = galaxies(300)
    other = truth + 4 * (value - truth)
    other[:100] = np.nan
    found = compare(truth, value, other, draw(300, None, SETTINGS))
    assert found["n"] == 200
    error = np.abs(value - truth)[100:].mean()
    assert found["network"]["mae"]["value"] == pytest.approx(error)
    assert found["difference"]["mae"]["value"] == pytest.approx(-3 * error)
    # Paired: the errors go together, so that the ratio is known far better than either.
    ratio = found["ratio"]["rms"]
    assert (ratio["low"], ratio["high"]) == pytest.approx((0.25, 0.25))


def test_nothing_in_common_is_no_comparison() -> None:
    truth, value = galaxies(10)
    assert compare(truth, value, np.full(10, np.nan), draw(10, None, SETTINGS)) is None


def test_no_ratio_to_an_answer_without_error() -> None:
    truth, value = galaxies(10)
    found = compare(truth, value, truth.copy(), draw(10, None, SETTINGS))
    assert found["ratio"] == {}
    assert found["difference"]["mae"]["low"] > 0


def test_counted_shares_have_exact_intervals() -> None:
    held = np.arange(30) < 21
    found = counted(held, 0.9)
    reference = stats.binomtest(21, 30).proportion_ci(0.9, method="exact")
    assert found["value"] == 0.7
    assert (found["low"], found["high"]) == pytest.approx((reference.low, reference.high))


def test_the_interval_of_the_rms_holds_the_true_one_as_often_as_it_says() -> None:
    hits = []
    for seed in range(200):
        truth, value = galaxies(120, seed)
        score = score_errors(truth, value - 2, draw(120, None, Resampling(300, 0.9, seed)))["rms"]
        hits.append(score["low"] <= 6 <= score["high"])
    assert 0.82 < np.mean(hits) < 0.96
