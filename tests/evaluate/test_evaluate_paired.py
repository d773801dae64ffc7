"""Tests of differences err as often as they say, with seeds and without."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from morphoscope.evaluate.crosscheck import mcnemar, sign_flip
from morphoscope.evaluate.paired import Difference, Trials, difference, fold_difference, holm
from morphoscope.evaluate.student import t_quantile, t_tail

IMAGES, CASES = 300, 300


def test_student_is_that_of_scipy():
    for t, freedom in itertools.product([0, 0.1, 1, 2.5, 12], [1, 1.7, 4, 30, 847]):
        assert t_tail(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-8)
        assert t_tail(-t, freedom) == t_tail(t, freedom)
    for confidence, freedom in itertools.product([0.5, 0.95, 0.9995], [1, 2.3, 4, 847]):
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert t_quantile(confidence, freedom) == pytest.approx(expected, rel=1e-8)


def simulate(rng, seeds, *, luck, gain=0.0):
    """Right answers of two variants to the same images, (variant, seed, image).

    Images are hard or easy for all, each training has images of its own, and ``luck`` is how
    much trainings of one variant differ (logits).
    """
    hardness = rng.normal(2.2, 1.8, IMAGES)
    own = rng.normal(0, 0.9, (2, seeds, IMAGES))
    trained = rng.normal(0, luck, (2, seeds, 1)) if luck else 0
    logits = hardness + own + trained + np.array([gain, 0])[:, None, None]
    return (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)


def trials_of(rng, right):
    times = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=200) / IMAGES
    return [Trials(one.mean(1), one @ times.T) for one in right]


def rejections(seeds, luck):
    rng = np.random.default_rng(5)
    by_images = by_both = 0
    for _ in range(CASES):
        right = simulate(rng, seeds, luck=luck)
        gap = right[0].mean(0) - right[1].mean(0)
        by_images += abs(gap.mean()) > 1.96 * gap.std() / IMAGES**0.5
        by_both += difference(*trials_of(rng, right), units=IMAGES).p_value < 0.05
    return by_images / CASES, by_both / CASES


@pytest.mark.parametrize(("seeds", "luck"), [(2, 0.3), (3, 0), (3, 0.3), (5, 0.3)])
def test_variants_that_are_equal_differ_in_one_of_twenty_cases_at_most(seeds, luck):
    by_images, by_both = rejections(seeds, luck)
    # Three standard errors of 300 cases.
    assert by_both <= 0.05 + 3 * (0.05 * 0.95 / CASES) ** 0.5
    if luck:
        # The test is needed: images alone take luck of trainings for a difference of networks.
        assert by_images > 0.2
        assert by_both > 0


def test_the_interval_holds_the_true_difference():
    rng = np.random.default_rng(6)
    large = np.random.default_rng(7)
    # Over all images and trainings there could be, to 0.0005.
    z = large.normal(2.2, (1.8**2 + 0.9**2 + 0.3**2) ** 0.5, 2_000_000)
    truth = float((1 / (1 + np.exp(-(z + 0.8))) - 1 / (1 + np.exp(-z))).mean())
    held = found = 0
    for _ in range(CASES):
        trials = trials_of(rng, simulate(rng, 3, luck=0.3, gain=0.8))
        one = difference(*trials, units=IMAGES)
        low, high = one.bounds(0.95)
        held += low <= truth <= high
        found += one.p_value < 0.05
    assert held / CASES >= 0.95 - 3 * (0.05 * 0.95 / CASES) ** 0.5
    assert found / CASES > 0.25


def test_the_interaction_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(1)
    right = simulate(rng, 4, luck=0.3)[0]
    times = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=20_000) / IMAGES
    trials = Trials(right.mean(1), right @ times.T)
    residual = right - right.mean(0) - right.mean(1, keepdims=True) + right.mean()
    expected = (residual**2).sum() / (3 * IMAGES) / IMAGES
    assert trials.interaction == pytest.approx(expected, rel=0.03)
    assert trials.image_variance == pytest.approx(right.mean(0).var() / IMAGES, rel=0.03)


def test_one_training_leaves_the_images():
    rng = np.random.default_rng(2)
    first, second = trials_of(rng, simulate(rng, 1, luck=0))
    found = difference(first, second, units=IMAGES)
    assert found.freedom == IMAGES - 1
    assert found.error == pytest.approx((first.drawn[0] - second.drawn[0]).std())


def test_the_same_trainings_are_compared_one_by_one():
    """Where one side is the other and a constant, seeds that differ widely do no harm."""
    rng = np.random.default_rng(3)
    trials = trials_of(rng, simulate(rng, 3, luck=2.0))[0]
    better = Trials(trials.values + 0.02, trials.drawn + 0.02 + rng.normal(0, 1e-3, (3, 200)))
    apart = difference(better, trials, units=IMAGES)
    together = difference(better, trials, units=IMAGES, shared=True)
    assert together.p_value < 0.001 < 0.1 < apart.p_value


def test_nothing_that_moves_is_no_difference():
    still = Trials(np.full(3, 0.8), np.full((3, 50), 0.8))
    found = difference(still, still, units=IMAGES)
    assert found.p_value == 1
    assert found.bounds(0.95) == pytest.approx((0, 0), abs=1e-12)


def test_folds_are_corrected_for_the_galaxies_that_their_trainings_share():
    by_fold = np.array([0.01, 0.03, 0.02, 0.04, 0.0])
    found = fold_difference(0.02, by_fold)
    # Nadeau & Bengio (2003): 1/k + n_test/n_train, which is 1/5 + 1/4.
    t = 0.02 / (np.sqrt(0.45) * by_fold.std(ddof=1))
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    assert found.p_value > stats.ttest_1samp(by_fold, 0).pvalue


def test_holm():
    assert holm([]) == []
    assert holm([0.04]) == [0.04]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    rng = np.random.default_rng(1)
    wrong = [min(holm(rng.random(6).tolist())) < 0.05 for _ in range(2000)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.015)


def test_mcnemar_is_the_binomial_test():
    rng = np.random.default_rng(4)
    first, second = rng.random((2, 200)) < [[0.8], [0.7]]
    only = int((first & ~second).sum()), int((second & ~first).sum())
    assert mcnemar(first, second) == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    assert mcnemar(first, first) == 1


def test_sign_flip_is_near_all_flips():
    differences = np.array([1, 1, -1, 2 / 3, 1, 1 / 3, 0, 1, 1])
    moved = differences[differences != 0]
    signs = np.array(list(itertools.product([-1, 1], repeat=len(moved))))
    exact = np.mean(np.abs(signs @ moved) >= abs(moved.sum()) - 1e-12)
    found = sign_flip(differences, 20_000, np.random.default_rng(1))
    assert found == pytest.approx(exact, abs=0.01)
    assert sign_flip(np.zeros(5), 100, np.random.default_rng(1)) == 1


def test_a_difference_that_never_moved_is_no_certainty():
    one = Difference(0.1, 0.0, 4)
    assert one.p_value == 1
    assert one.bounds(0.95) == (-np.inf, np.inf)
    # A tenth in each of three folds.
    folds = fold_difference(0.1, np.array([0.1, 0.3 - 0.2, 0.1]))
    assert folds.p_value == 1
    assert Difference(0.0, 0.0, 4).bounds(0.95) == (0, 0)
