"""The sentences of the report say what its numbers say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from morphoscope.evaluate import figures, wording
from morphoscope.evaluate.assess import Answers, Resampling, assess


def calibrated(temperature, before, after):
    keys = ("ece", "log_loss")
    share = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 20}
    return {
        "calibration": {
            "temperature": temperature,
            "n_validation": 12,
            "before": dict(zip(keys, before, strict=True)),
            "after": dict(zip(keys, after, strict=True)),
            "ece_by_chance": 0.03,
        },
        "trust": [{"threshold": 0.6, "share": 0.5, "accuracy": share}],
    }


def test_a_temperature_that_helped_is_said_to_have_helped():
    words = wording.trust_in_words(calibrated(1.5, (0.11, 0.5), (0.04, 0.4)))[1]
    assert "too sure of itself (error 11.0 points)" in words
    assert "lowers the error to 4.0 points" in words
    assert "bound" not in words


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ((0.064, 0.7), "did not help"),
        ((0.044, 0.5), "did not help"),
        ((0.064, 0.4), "did not clearly help"),
        ((0.031, 0.7), "did not clearly help"),
    ],
)
def test_a_temperature_that_did_not_help_on_test_is_not_praised(after, verdict):
    words = wording.trust_in_words(calibrated(0.09, (0.044, 0.5), after))[1]
    assert words.startswith("A temperature of 0.09, fitted on 12 validation images, " + verdict)
    assert f"error 4.4 points before, {after[0] * 100:.1f} after" in words
    assert f"log loss 0.500 before, {after[1]:.3f} after" in words
    assert "too modest" not in words


@pytest.mark.parametrize("temperature", [0.05 + 1e-12, 20 - 1e-9])
def test_a_temperature_at_the_bound_of_its_search_is_said(temperature):
    words = wording.trust_in_words(calibrated(temperature, (0.1, 0.5), (0.05, 0.4)))[1]
    assert "ended at a bound of its search (0.05 to 20)" in words
    assert "too few validation images" in words


def test_a_score_that_resampling_never_moves_has_no_known_interval():
    logs = np.log(np.tile([0.4, 0.2, 0.2, 0.2], (80, 1)))
    answers = Answers(logs, np.arange(80) % 4)
    scores = assess(answers, answers, list("abcd"), 1.0, Resampling(200, 0.95, 1))["scores"]
    assert scores["balanced_accuracy"]["value"] == 0.25
    for as_percent in (True, False):
        found = wording.span(scores["balanced_accuracy"], as_percent=as_percent)
        assert found == "interval not known"
        assert "–" in wording.span(scores["accuracy"], as_percent=as_percent)


@pytest.mark.parametrize("low", [0.69314, 0.6934, 0.5, 1234.5])
def test_the_ticks_of_the_curves_are_not_cut(low):
    curve = [{"epoch": i, "loss": low + i * 1e-4} for i in range(4)]
    drawn = figures.curve_plot([curve], [("loss", "train")], [0], "loss")
    ticks = re.findall(r'<text x="([^"]+)" y="[^"]+" text-anchor="end" class="tick">([^<]+)', drawn)
    assert len(ticks) > 2
    assert all(float(x) >= 7 * len(words) for x, words in ticks)
