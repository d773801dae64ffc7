"""Intervals hold the truth as often as they say."""

from __future__ import annotations

import time

import numpy as np
import pytest

from morphoscope.evaluate import bootstrap, metrics
from morphoscope.evaluate.assess import Answers, Resampling, assess
from morphoscope.evaluate.bootstrap import Interval, Sums

CONFIDENCE = 0.9


def accuracy_interval(right, groups, rng):
    units = bootstrap.unit_sums(np.stack([right, np.ones_like(right)], 1), groups)
    drawn = bootstrap.resample(units, 300, rng)
    share = float(right.mean())
    return bootstrap.interval(share, drawn[:, 0] / drawn[:, 1], len(right), CONFIDENCE)


def coverage(simulate, truth, trials=400):
    rng = np.random.default_rng(11)
    found = [accuracy_interval(*simulate(rng), rng) for _ in range(trials)]
    return np.mean([one.low <= truth <= one.high for one in found])


def test_interval_of_independent_rows_covers_the_truth():
    share = coverage(lambda rng: ((rng.random(250) < 0.8).astype(float), None), 0.8)
    # Four standard errors of 400 trials, and the discreteness of 250 rows.
    assert 0.84 <= share <= 0.96


def grouped(rng):
    """Sixty groups of five images that are right or wrong together."""
    return np.repeat((rng.random(60) < 0.8).astype(float), 5), np.repeat(np.arange(60), 5)


def test_only_drawing_groups_covers_the_truth_when_images_come_in_groups():
    def ungrouped(rng):
        return grouped(rng)[0], None

    assert 0.83 <= coverage(grouped, 0.8) <= 0.96
    assert coverage(ungrouped, 0.8) < 0.7


def test_a_share_of_all_or_none_gets_the_exact_bound():
    rng = np.random.default_rng(1)
    none = accuracy_interval(np.zeros(20), None, rng)
    assert (none.low, none.high) == (0, 0)
    exact = bootstrap.exact_bounds(none, 0.95)
    # At that true share, 20 misses in a row have the probability of one tail.
    assert (1 - exact.high) ** 20 == pytest.approx(0.025)
    everything = bootstrap.exact_bounds(Interval(1.0, 1.0, 1.0, 20), 0.95)
    assert everything.low == pytest.approx(1 - exact.high)
    assert bootstrap.exact_bounds(Interval(0.0, 0.0, 0.0, 0), 0.95).high == 1


def random_answers(n, k, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(k, 0.5), size=n)
    truth = np.array([rng.choice(k, p=p) for p in probabilities])
    return probabilities, truth


def test_sums_give_every_score():
    probabilities, truth = random_answers(200, 3)
    scores = Sums.from_flat(bootstrap.row_sums(probabilities, truth).sum(0), 3).scores()
    confusion = metrics.confusion_matrix(truth, probabilities.argmax(1), 3)
    assert scores["accuracy"] == metrics.accuracy(confusion)
    assert scores["macro_f1"] == metrics.macro_f1(confusion)
    assert scores["log_loss"] == pytest.approx(metrics.log_losses(probabilities, truth).mean())
    assert scores["brier"] == pytest.approx(metrics.brier_losses(probabilities, truth).mean())


def test_the_same_seed_gives_the_same_intervals_and_another_does_not():
    probabilities, truth = random_answers(120, 3)
    answers = Answers(np.log(probabilities), truth)

    def made(seed):
        return assess(answers, answers, ["a", "b", "c"], 1.0, Resampling(200, 0.95, seed))

    assert made(1) == made(1)
    assert made(1)["scores"] != made(2)["scores"]


def test_groups_are_drawn_only_where_they_hold_several_images():
    probabilities, truth = random_answers(60, 2)
    settings = Resampling(100, 0.95, 1)
    for groups, unit, units in ((np.arange(60), "image", 60), (np.arange(60) // 3, "group", 20)):
        answers = Answers(np.log(probabilities), truth, groups)
        interval = assess(answers, answers, ["a", "b"], 1.0, settings)["interval"]
        assert (interval["unit"], interval["units"]) == (unit, units)


def test_every_value_lies_in_its_interval_and_every_score_has_its_n():
    probabilities, truth = random_answers(300, 4)
    answers = Answers(np.log(probabilities), truth)
    found = assess(answers, answers, list("abcd"), 1.0, Resampling(500, 0.95, 1))
    table = [s for one in found["per_class"].values() for s in one.values() if isinstance(s, dict)]
    for score in [*found["scores"].values(), *table]:
        assert score["low"] <= score["value"] <= score["high"]
    assert all(score["n"] == 300 for score in found["scores"].values())
    assert [one["recall"]["n"] for one in found["per_class"].values()] == np.bincount(
        truth
    ).tolist()
    assert [entry["n"] for entry in found["confused"]] == sorted(
        (entry["n"] for entry in found["confused"]), reverse=True
    )


def test_all_answers_kept_have_the_interval_of_the_accuracy():
    probabilities, truth = random_answers(30, 3)
    answers = Answers(np.log(probabilities), truth)
    found = assess(answers, answers, list("abc"), 1.0, Resampling(200, 0.95, 1))
    assert found["trust"][0]["share"] == 1
    assert found["trust"][0]["accuracy"] == found["scores"]["accuracy"]


def test_two_thousand_samples_of_840_rows_are_quick():
    probabilities, truth = random_answers(840, 5)
    rows = bootstrap.row_sums(probabilities, truth)
    began = time.process_time()
    Sums.from_flat(bootstrap.resample(rows, 2000, np.random.default_rng(1)), 5).scores()
    # Processor time of all threads; the machine may be busy with something else.
    assert time.process_time() - began < 2
