"""Intervals hold what they promise, at every inclination, on answers of known truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.inclination import apply_intervals, fit_intervals

THIRDS = (0, 30, 60)


def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Answers like those of a network: bounded, uneven, skewed, drawn inwards, ill-scaled.

    Returns value, below, above and truth.
    """
    truth, quality = rng.uniform(0, 90, n), rng.uniform(0.4, 2.0, n)
    spread = (3 + 9 * np.exp(-truth / 22)) / quality
    skewed = rng.gamma(4, 0.5, n) - 2
    noise = np.where(rng.random(n) < 0.5, skewed, rng.normal(0, 1, n))
    value = np.clip(truth + spread * noise, 0, 90)
    value = np.clip(value + 0.06 * (45 - value), 0, 90)
    said = (3 + 9 * np.exp(-value / 22)) / quality
    below = 1.3 * said * (0.5 + value / 90) * np.exp(rng.normal(0, 0.1, n))
    above = 0.7 * said * (1.2 - value / 150) * np.exp(rng.normal(0, 0.1, n))
    return value, below, above, truth


NEW = draw(60_000, np.random.default_rng(99))


def held(found: dict, coverage: float) -> np.ndarray:
    value, below, above, truth = NEW
    low, high = apply_intervals(found, value, below, above, coverage)
    assert ((low >= 0) & (low <= value) & (value <= high) & (high <= 90)).all()
    return (low <= truth) & (truth <= high)


def by_third(inside: np.ndarray, at: np.ndarray) -> list[float]:
    return [float(inside[(at >= low) & (at <= low + 30)].mean()) for low in THIRDS]


@pytest.mark.parametrize("coverage", [0.68, 0.9])
def test_each_third_holds_its_share_with_enough_galaxies(coverage: float) -> None:
    rng = np.random.default_rng(1)
    thirds = []
    for _ in range(30):
        inside = held(fit_intervals(*draw(6000, rng), [coverage]), coverage)
        thirds.append([*by_third(inside, NEW[0]), *by_third(inside, NEW[3])])
    found = np.array(thirds)
    assert np.abs(found.mean(0)[:3] - coverage).max() < 0.006
    assert np.abs(found.mean(0)[3:] - coverage).max() < 0.02
    assert (np.abs(found[:, :3] - coverage) <= 0.02).mean() > 0.88


def test_one_factor_for_all_would_not() -> None:
    value, below, above, truth = draw(6000, np.random.default_rng(1))
    score = np.where(truth < value, value - truth, 0) / below
    score += np.where(truth > value, truth - value, 0) / above
    factor = float(np.quantile(score, 0.68))
    one = {"coverage": 0.68, "value": [45.0], "below": [factor], "above": [factor]}
    inside = held({"coverages": [one]}, 0.68)
    assert abs(inside.mean() - 0.68) < 0.01
    assert np.abs(np.array(by_third(inside, NEW[0])) - 0.68).max() > 0.1


def test_either_side_misses_alike_where_both_can() -> None:
    value, below, above, truth = NEW
    found = fit_intervals(*draw(20_000, np.random.default_rng(4)))
    low, high = apply_intervals(found, value, below, above, 0.68)
    middle = (value > 30) & (value < 60)
    assert (truth < low)[middle].mean() == pytest.approx(0.16, abs=0.01)
    assert (truth > high)[middle].mean() == pytest.approx(0.16, abs=0.01)


def test_answers_at_the_bound_keep_the_coverage() -> None:
    rng = np.random.default_rng(5)
    truth = rng.uniform(70, 90, 20_000)
    value = np.where(truth > 80, 90.0, truth)
    width = np.full(20_000, 2.0)
    found = fit_intervals(value, width, width, truth)
    low, high = apply_intervals(found, value, width, width, 0.68)
    at_bound = value == 90
    assert (high[at_bound] == 90).all()
    assert (truth >= low)[at_bound].mean() == pytest.approx(0.68, abs=0.02)


@pytest.mark.parametrize("n", [3, 10, 59])
def test_few_galaxies_give_one_factor_and_keep_the_promise_on_average(n: int) -> None:
    rng = np.random.default_rng(6)
    shares = []
    for _ in range(150):
        found = fit_intervals(*draw(n, rng))
        one = found["coverages"][0]
        assert (one["kind"], found["n"], one["window"]) == ("one", n, n)
        assert one["below"] == one["above"]
        shares.append(held(found, 0.68).mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) > 0.68 - 3 * error
    # Not more than the finite number of galaxies explains.
    assert np.mean(shares) < 0.68 + 1 / (n + 1) + 3 * error


def test_too_few_to_say_anything_say_everything() -> None:
    found = fit_intervals(*draw(5, np.random.default_rng(7)))
    low, high = apply_intervals(found, [30.0, np.nan], [1.0, 1.0], [1.0, 1.0], 0.9)
    assert (low[0], high[0]) == (0, 90)
    assert np.isnan([low[1], high[1]]).all()


@given(st.integers(1, 400), st.integers(0, 10**6))
def test_intervals_are_bounded_nested_and_survive_json(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = fit_intervals(*draw(n, rng))
    again = json.loads(json.dumps(found, allow_nan=False))
    value, below, above, _ = draw(50, rng)
    low, high = apply_intervals(again, value, below, above, 0.68)
    lower, higher = apply_intervals(again, value, below, above, 0.9)
    assert ((lower <= low) & (low <= value) & (value <= high) & (high <= higher)).all()
    assert ((lower >= 0) & (higher <= 90)).all()
    assert np.array_equal(low, apply_intervals(found, value, below, above, 0.68)[0])


def test_galaxies_of_unknown_inclination_count_for_nothing() -> None:
    value, below, above, truth = draw(500, np.random.default_rng(8))
    gaps = truth.copy()
    gaps[::3] = np.nan
    whole = np.isfinite(gaps)
    expected = fit_intervals(value[whole], below[whole], above[whole], truth[whole])
    assert fit_intervals(value, below, above, gaps) == expected


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="known inclination"):
        fit_intervals([40.0], [1.0], [1.0], [np.nan])
    with pytest.raises(ValueError, match="half-widths"):
        fit_intervals([40.0], [0.0], [1.0], [41.0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_intervals([40.0], [1.0], [1.0], [41.0], [1.0])
    found = fit_intervals(*draw(100, np.random.default_rng(9)))
    with pytest.raises(ValueError, match=r"0\.5, only 0\.68, 0\.9"):
        apply_intervals(found, [40.0], [1.0], [1.0], 0.5)
