"""Planted label errors are found, and few sound labels are doubted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from morphoscope.evaluate.label_errors import find_label_errors


def clusters(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features of four classes of unlike size, neighbours of which overlap a little."""
    truth = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
    centres = 2.6 * np.array([[0, 0], [1, 0.2], [0.1, 1], [1.1, 1.2]])
    return rng.normal(size=(n, 2)) * 0.55 + centres[truth], truth


@pytest.fixture(scope="module", params=["uniform", "one way"])
def planted(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Out-of-fold probabilities, labels of which 6 % are wrong, and the truth."""
    rng = np.random.default_rng(8)
    features, truth = clusters(3000, rng)
    labels = truth.copy()
    if request.param == "uniform":
        wrong = rng.choice(3000, 180, replace=False)
        labels[wrong] = (truth[wrong] + rng.integers(1, 4, 180)) % 4
    else:
        wrong = rng.choice(np.flatnonzero(truth == 1), 180, replace=False)
        labels[wrong] = 0
    model = LogisticRegression()
    return cross_val_predict(model, features, labels, cv=5, method="predict_proba"), labels, truth


def test_planted_errors_are_found_and_little_else(planted: tuple) -> None:
    probabilities, labels, truth = planted
    found = find_label_errors(probabilities, labels)
    planted_errors = labels != truth
    hits = planted_errors[found.ranked]
    # It is a careful method: what it names is nearly all wrong, a third of the errors escapes it.
    assert hits.mean() > 0.95
    assert hits.sum() / planted_errors.sum() > 0.6
    first = found.ranked[:100]
    assert planted_errors[first].mean() > 0.95
    assert (found.suggested[first] == truth[first]).mean() > 0.95
    assert found.expected == pytest.approx(planted_errors.sum(), rel=0.35)
    assert found.joint.sum() == pytest.approx(len(labels))


def test_sound_labels_are_hardly_doubted() -> None:
    rng = np.random.default_rng(9)
    features, truth = clusters(3000, rng)
    probabilities = cross_val_predict(
        LogisticRegression(), features, truth, cv=5, method="predict_proba"
    )
    assert len(find_label_errors(probabilities, truth).ranked) < 0.02 * 3000


def test_thresholds_and_joint_are_those_of_the_paper() -> None:
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.7, 0.3, 0], [0.2, 0.8, 0], [0.1, 0.9, 0], [0.05, 0.95, 0], [0.4, 0.6, 0]]
    )
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = find_label_errors(probabilities, labels)
    assert found.thresholds[:2] == pytest.approx([0.6, (0.9 + 0.95 + 0.6) / 3])
    assert np.isinf(found.thresholds[2])
    # Row 2 reaches 0.8 < 0.817 of class 1: nothing is confident, no candidate.
    assert found.suggested.tolist() == [-1] * 6
    probabilities[2] = [0.1, 0.9, 0]
    found = find_label_errors(probabilities, labels)
    assert found.ranked.tolist() == [2]
    assert found.suggested[2] == 1
    assert found.margin[2] == pytest.approx(-0.8)
    assert found.joint == pytest.approx(np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]]))


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 10**6))
def test_candidates_are_contradicted_and_ranked(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, labels = rng.dirichlet(np.ones(k), n), rng.integers(k, size=n)
    found = find_label_errors(probabilities, labels)
    assert (np.diff(found.margin[found.ranked]) >= 0).all()
    assert set(found.ranked) == set(np.flatnonzero(found.suggested >= 0))
    assert (found.suggested[found.ranked] != labels[found.ranked]).all()
    named = found.suggested[found.ranked]
    assert (probabilities[found.ranked, named] >= found.thresholds[named]).all()
    assert found.joint.sum(1) == pytest.approx(np.bincount(labels, minlength=k))
