"""The rule of rejection keeps the discs it promises to keep, and is scored rightly."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from sklearn import metrics as reference

from morphoscope.evaluate.angles import rejection
from morphoscope.evaluate.angles.rejection import (
    KEPT,
    answers_of,
    area_under_curve,
    curve,
    find_threshold,
    judge_rejection,
)
from morphoscope.evaluate.angles.sample import draw
from morphoscope.evaluate.assess import Resampling

CLASSES = ["disc", "not_disc", "not_galaxy"]


def answers(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.7, 0.2, 0.1])
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), truth] += 2
    odds = np.exp(logits).round(2)
    return odds / odds.sum(1, keepdims=True), truth


def test_examples() -> None:
    assert doctest.testmod(rejection, extraglobs={"np": np}).failed == 0


@pytest.mark.parametrize("n", [40, 400])
def test_new_discs_stay_as_often_as_promised(n: int) -> None:
    rng = np.random.default_rng(2)
    kept = [(rng.beta(5, 1, 500) >= find_threshold(rng.beta(5, 1, n))).mean() for _ in range(400)]
    error = np.std(kept) / 20
    assert np.mean(kept) > KEPT - 3 * error
    assert np.mean(kept) < KEPT + 1 / (n + 1) + 3 * error


def test_of_too_few_discs_nothing_is_rejected() -> None:
    assert find_threshold(np.full(20, 0.9)) == 0
    assert find_threshold(np.empty(0)) == 0


def test_the_share_stays_of_every_origin_that_has_discs_enough() -> None:
    rng = np.random.default_rng(3)
    simulated, real, few = rng.beta(9, 1, 4000), rng.beta(3, 2, 200), rng.beta(1, 9, 20)
    origins = ["simulated"] * 4000 + ["real"] * 200 + ["few"] * 20
    found = find_threshold(np.concatenate([simulated, real, few]), origins=origins)
    assert found == find_threshold(real) < find_threshold(simulated)
    new = rng.beta(3, 2, 100_000)
    assert (new >= found).mean() == pytest.approx(KEPT, abs=0.03)


def test_the_area_is_scikit_learns_also_of_weighted_and_equal_scores() -> None:
    probabilities, truth = answers(300)
    score, disc = probabilities[:, 0].round(1), truth == 0
    weights = draw(300, None, Resampling(20, 0.95, 1)).times.astype(float)
    found = area_under_curve(score, disc, weights)
    for one, weight in zip(found, weights, strict=True):
        assert one == pytest.approx(reference.roc_auc_score(disc, score, sample_weight=weight))
    assert np.isnan(area_under_curve(score, np.ones(300, bool), np.ones((1, 300)))).all()


def test_the_curve_is_scikit_learns() -> None:
    probabilities, truth = answers(150)
    score, disc = probabilities[:, 0], truth == 0
    wrong, right, _ = reference.roc_curve(disc, score, drop_intermediate=False)
    points = curve(score, disc)
    assert [p["kept"] for p in points] == pytest.approx(right)
    assert [1 - p["rejected"] for p in points] == pytest.approx(wrong)


def test_the_rule_is_scored_on_what_it_does() -> None:
    probabilities, truth = answers(500)
    draws = draw(500, None, Resampling(200, 0.95, 1))
    found = judge_rejection(probabilities, truth, CLASSES, 0.3, draws)
    rejected = probabilities[:, 0] < 0.3
    assert found["kept"]["value"] == (~rejected[truth == 0]).mean()
    assert found["rejected"]["not_galaxy"]["value"] == rejected[truth == 2].mean()
    assert found["rejected_of_all"]["n"] == (truth > 0).sum()
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    confusion = np.array(found["confusion"])
    assert confusion[:, 1:].sum() == rejected.sum()
    assert confusion.sum(1).tolist() == np.bincount(truth).tolist()
    assert (answers_of(probabilities, rejected)[rejected] > 0).all()


def test_discs_alone_and_absent_classes() -> None:
    draws = draw(30, None, Resampling(100, 0.95, 1))
    found = judge_rejection(np.ones((30, 1)), np.zeros(30, int), ["disc"], 0.0, draws)
    assert found["auc"] is None
    assert found["kept"]["value"] == 1
    probabilities, truth = answers(30)
    found = judge_rejection(probabilities, np.minimum(truth, 1), CLASSES, 0.3, draws)
    assert set(found["rejected"]) == {"not_disc"}


def test_each_origin_is_scored_by_itself() -> None:
    probabilities, truth = answers(400)
    origins = ["simulated" if index % 4 else "galaxy-zoo-1" for index in range(400)]
    draws = draw(400, None, Resampling(100, 0.95, 1))
    found = judge_rejection(probabilities, truth, CLASSES, 0.3, draws, origins)["by_origin"]
    real = np.arange(400) % 4 == 0
    rejected = (probabilities[:, 0] < 0.3)[real & (truth == 0)]
    assert found["galaxy-zoo-1"][CLASSES[0]]["value"] == rejected.mean()
    assert found["galaxy-zoo-1"][CLASSES[0]]["n"] == len(rejected)
    assert list(found) == ["galaxy-zoo-1", "simulated"]
    one = judge_rejection(probabilities, truth, CLASSES, 0.3, draws, ["simulated"] * 400)
    assert one["by_origin"] == {}
