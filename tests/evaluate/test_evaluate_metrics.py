"""Scores against scikit-learn, on random labels and probabilities."""

from __future__ import annotations

import doctest
import importlib
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from morphoscope.evaluate import metrics

MODULES = ("bootstrap", "calibration", "explain", "gallery", "metrics", "svg", "weakness")
TIGHT = {"rel": 1e-12, "abs": 1e-12}


@st.composite
def answers(draw):
    """Truth and probabilities; some classes may be absent, some probabilities exactly 0 or 1."""
    k = draw(st.integers(2, 10))
    n = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.integers(draw(st.integers(1, k)), size=n)
    sharpness = draw(st.sampled_from([0.01, 0.3, 3.0]))
    probabilities = rng.dirichlet(np.full(k, sharpness), size=n)
    if draw(st.booleans()):
        probabilities[: n // 2] = np.eye(k)[probabilities[: n // 2].argmax(1)]
    return truth, probabilities / probabilities.sum(1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_scores_agree_with_scikit_learn(drawn):
    truth, probabilities = drawn
    k = probabilities.shape[1]
    labels, answer = np.arange(k), probabilities.argmax(1)
    confusion = metrics.confusion_matrix(truth, answer, k)
    assert confusion.tolist() == reference.confusion_matrix(truth, answer, labels=labels).tolist()
    assert metrics.accuracy(confusion) == pytest.approx(
        reference.accuracy_score(truth, answer), **TIGHT
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        balanced = reference.balanced_accuracy_score(truth, answer)
    assert metrics.balanced_accuracy(confusion) == pytest.approx(balanced, **TIGHT)
    assert metrics.macro_f1(confusion) == pytest.approx(
        reference.f1_score(truth, answer, average="macro", zero_division=0), **TIGHT
    )
    ours = metrics.class_scores(confusion)
    theirs = reference.precision_recall_fscore_support(
        truth, answer, labels=labels, zero_division=0
    )
    for mine, other in zip((ours.precision, ours.recall, ours.f1, ours.support), theirs):
        assert mine == pytest.approx(other, **TIGHT)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_losses_agree_with_scikit_learn(drawn):
    truth, probabilities = drawn
    labels = np.arange(probabilities.shape[1])
    assert metrics.log_losses(probabilities, truth).mean() == pytest.approx(
        reference.log_loss(truth, y_proba=probabilities, labels=labels), **TIGHT
    )
    assert metrics.brier_losses(probabilities, truth).mean() == pytest.approx(
        reference.brier_score_loss(truth, probabilities, labels=labels, scale_by_half=False),
        **TIGHT,
    )


@settings(max_examples=40, deadline=None)
@given(answers())
def test_calibration_bins_agree_with_scikit_learn(drawn):
    truth, probabilities = drawn
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    confidence = np.minimum(confidence, 1.0)
    place = metrics.calibration_bins(confidence)
    filled = np.unique(place)
    accuracy, mean = calibration_curve(right, confidence, n_bins=metrics.BINS, pos_label=True)
    assert mean == pytest.approx([confidence[place == b].mean() for b in filled], **TIGHT)
    assert accuracy == pytest.approx([right[place == b].mean() for b in filled], **TIGHT)
    member = np.eye(metrics.BINS)[place]
    bins = np.stack([member.sum(0), confidence @ member, right @ member], axis=1)
    weights = np.array([(place == b).mean() for b in filled])
    assert metrics.expected_calibration_error(bins) == pytest.approx(
        (weights * np.abs(accuracy - mean)).sum(), **TIGHT
    )


def test_a_stack_of_matrices_gives_what_each_gives():
    stack = np.random.default_rng(3).integers(0, 9, size=(5, 4, 4))
    stack[0, 2] = 0
    for score in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        assert score(stack).tolist() == [float(score(one)) for one in stack]


def test_a_class_without_rows_and_answers_is_undefined_when_asked():
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert np.isnan(metrics.class_scores(confusion, undefined=np.nan).recall[2])
    assert metrics.class_scores(confusion).recall[2] == 0


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"morphoscope.evaluate.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
