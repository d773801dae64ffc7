"""Sets hold the truth as often as they promise, on images like those they were made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from morphoscope.evaluate.binomial import coverage_range, exact_interval
from morphoscope.evaluate.conformal import (
    check_sets,
    class_thresholds,
    prediction_sets,
    threshold,
)

SHARES = np.array([0.7, 0.25, 0.05])


def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident probabilities of three classes, the rarest poorly told apart."""
    truth = rng.choice(3, n, p=SHARES)
    logits = rng.normal(size=(n, 3)) + np.array([1.0, 0, -1])
    logits[np.arange(n), truth] += np.array([2.0, 2.0, 1.0])[truth]
    odds = np.exp(2 * logits)
    return odds / odds.sum(1, keepdims=True), truth


@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.parametrize("n", [25, 200])
def test_sets_hold_the_truth_as_often_as_promised(coverage: float, n: int) -> None:
    rng = np.random.default_rng(3)
    held, held_at_threshold = [], []
    for _ in range(400):
        known, known_truth = draw(n, rng)
        new, truth = draw(200, rng)
        at = threshold(known[np.arange(n), known_truth], coverage)
        held.append(prediction_sets(new, at.value)[np.arange(200), truth].mean())
        held_at_threshold.append((new[np.arange(200), truth] >= at.value).mean())
    error = np.std(held_at_threshold) / np.sqrt(len(held))
    assert np.mean(held) > coverage - 3 * error
    # Without the rule that no set is empty the mean is known: rank / (n + 1).
    assert abs(np.mean(held_at_threshold) - at.rank / (n + 1)) < 3 * error
    assert coverage <= at.rank / (n + 1) < coverage + 1 / (n + 1)


def test_a_threshold_for_each_class_keeps_the_promise_within_classes() -> None:
    rng = np.random.default_rng(5)
    one, each = np.zeros(3), np.zeros(3)
    seen = np.zeros(3)
    for _ in range(300):
        known, known_truth = draw(300, rng)
        new, truth = draw(300, rng)
        values = np.array([t.value for t in class_thresholds(known, known_truth, 0.9)])
        single = threshold(known[np.arange(300), known_truth], 0.9).value
        seen += np.bincount(truth, minlength=3)
        for found, at in ((one, single), (each, values)):
            members = prediction_sets(new, at)[np.arange(300), truth]
            found += np.bincount(truth, weights=members, minlength=3)
    assert (each / seen > 0.9 - 3 * np.sqrt(0.09 / seen)).all()
    assert (one / seen)[2] < 0.6
    assert abs(one.sum() / seen.sum() - 0.9) < 0.02


def test_too_few_calibration_images_leave_the_class_in_every_set() -> None:
    for n, few in ((0, True), (8, True), (9, False), (14, False)):
        found = threshold(np.linspace(0.3, 0.9, n), 0.9)
        assert found.too_few == few
        assert found.value == (0.0 if few else 0.3)
    assert threshold(np.full(19, 0.4), 0.95).value == 0.4


@given(st.integers(2, 6), st.integers(1, 40), st.floats(0, 1), st.integers(0, 10**6))
def test_no_set_is_empty_and_a_lower_threshold_loses_no_class(
    k: int, n: int, at: float, seed: int
) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(k), n)
    members = prediction_sets(probabilities, at)
    assert members.any(1).all()
    assert members[np.arange(n), probabilities.argmax(1)].all()
    assert (prediction_sets(probabilities, at / 2) >= members).all()
    assert (prediction_sets(probabilities, np.full(k, at)) == members).all()


def test_equal_probabilities_at_the_threshold_are_all_in() -> None:
    probabilities = np.full((50, 4), 0.25)
    truth = np.arange(50) % 4
    at = threshold(probabilities[np.arange(50), truth], 0.9)
    assert at.value == 0.25
    assert prediction_sets(probabilities, at.value).all()


def test_the_check_counts_what_it_says() -> None:
    rng = np.random.default_rng(1)
    (known, known_truth), (new, truth) = draw(400, rng), draw(300, rng)
    classes = ["a", "b", "c"]
    found = check_sets((known, known_truth), (new, truth), classes, coverage=0.9, confidence=0.95)
    overall = found["overall"]
    members = new >= overall["threshold"]["value"]
    members[np.arange(300), new.argmax(1)] = True
    held = members[np.arange(300), truth]
    assert overall["found"]["value"] == held.mean()
    reference = stats.binomtest(int(held.sum()), 300).proportion_ci(0.95, method="exact")
    assert overall["found"]["low"] == pytest.approx(reference.low, abs=1e-9)
    assert overall["found"]["high"] == pytest.approx(reference.high, abs=1e-9)
    assert overall["mean_size"] == members.sum(1).mean()
    assert sum(overall["sizes"]) == 300
    assert overall["sizes"][0] / 300 == overall["single"]
    for index, name in enumerate(classes):
        one = found["classes"][name]
        assert one["overall"]["value"] == held[truth == index].mean()
        assert one["threshold"]["n"] == (known_truth == index).sum()
    assert found["by_class"]["mean_size"] > overall["mean_size"]


def test_a_class_without_images_is_unknown_and_never_left_out() -> None:
    known, truth = draw(60, np.random.default_rng(2))
    known, truth = known[truth < 2], truth[truth < 2]
    found = check_sets((known, truth), (known, truth), list("abc"), coverage=0.9, confidence=0.95)
    rare = found["classes"]["c"]
    assert rare["threshold"] == {"value": 0.0, "n": 0, "too_few": True}
    assert (rare["overall"]["low"], rare["overall"]["high"], rare["overall"]["n"]) == (0, 1, 0)
    assert found["by_class"]["sizes"][0] == found["by_class"]["single"] * len(truth)


def test_the_range_by_chance_is_of_the_threshold_alone() -> None:
    """Where the likeliest class is right more often than asked for, it lifts the coverage."""
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(60):
        truth = rng.integers(0, 3, 1100)
        scores = rng.normal(0, 1, (1100, 3))
        scores[np.arange(1100), truth] += 6
        likely = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        found = check_sets(
            (likely[:500], truth[:500]),
            (likely[500:], truth[500:]),
            list("abc"),
            coverage=0.9,
            confidence=0.95,
        )["overall"]
        assert found["found"]["value"] > found["by_chance"]["high"]
        held, chance = found["found_by_threshold"], found["by_chance"]
        inside += chance["low"] <= held <= chance["high"]
    assert inside >= 52


@pytest.mark.parametrize(("found", "n"), [(0, 12), (12, 12), (9, 10), (700, 848), (1, 3)])
def test_exact_intervals_are_scipys(found: int, n: int) -> None:
    reference = stats.binomtest(found, n).proportion_ci(0.9, method="exact")
    assert exact_interval(found, n, 0.9) == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert exact_interval(0, 0, 0.9) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("rank", "n_calibration", "n"), [(91, 100, 1000), (10, 10, 7), (764, 848, 848)]
)
def test_the_range_by_chance_is_that_of_the_beta_binomial(
    rank: int, n_calibration: int, n: int
) -> None:
    law = stats.betabinom(n, rank, n_calibration + 1 - rank)
    expected = (law.ppf(0.025) / n, law.ppf(0.975) / n)
    assert coverage_range(rank, n_calibration, n, 0.95) == pytest.approx(expected)
    assert coverage_range(n_calibration + 1, n_calibration, n, 0.95) == (1.0, 1.0)
