"""Calibration: one temperature that makes the probabilities mean what they say.

The temperature is fitted on validation rows and divides the logarithm of the model's mean
probability; it changes no answer. Source: Guo et al. (2017), section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate import metrics

__all__ = ["apply_temperature", "chance_eces", "fit_temperature", "reliability"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LOWEST, HIGHEST = 0.05, 20.0
LOG_FLOOR = -100.0


def apply_temperature(log_probabilities: Floats, temperature: float) -> Floats:
    """Probabilities at a temperature: softmax of the logarithms divided by it.

    Parameters
    ----------
    log_probabilities
        Logarithms of probabilities or logits, shape ``(n, k)``.
    temperature
        Above 1 softens, below 1 sharpens, 1 changes nothing.

    Examples
    --------
    >>> apply_temperature(np.log([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    scaled = np.asarray(log_probabilities, dtype=np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(scaled / scaled.sum(1, keepdims=True))


def fit_temperature(log_probabilities: Floats, truth: Integers) -> float:
    """Temperature that minimises the log loss.

    The log loss is convex in 1/T; the root of its derivative is found by bisection.

    Parameters
    ----------
    log_probabilities
        Logarithms of probabilities or logits, shape ``(n, k)``.
    truth
        True class, shape ``(n,)``.

    Returns
    -------
    float
        Between 0.05 and 20; 1 where every answer is right, since the rows then bound it on one side
        only and sharpening would have no evidence.

    Examples
    --------
    >>> logits = np.log([[0.99, 0.01]] * 10)
    >>> round(fit_temperature(logits, np.array([0] * 9 + [1])), 2)
    2.09
    """
    scores = np.maximum(np.asarray(log_probabilities, dtype=np.float64), LOG_FLOOR)
    if (scores.argmax(1) == truth).all():
        return 1.0
    target = scores[np.arange(len(truth)), truth].mean()
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(60):
        middle = (low + high) / 2
        expected = (apply_temperature(scores, 1 / middle) * scores).sum(1).mean()
        low, high = (middle, high) if expected < target else (low, middle)
    return float(2 / (low + high))


def reliability(bins: Floats) -> list[dict[str, Any]]:
    """Mean confidence and accuracy of each bin that holds rows.

    Parameters
    ----------
    bins
        Count, summed confidence and right answers, shape ``(bins, 3)``.
    """
    width = 1 / len(bins)
    return [
        {
            "low": index * width,
            "high": (index + 1) * width,
            "n": int(count),
            "confidence": confidence / count,
            "accuracy": right / count,
        }
        for index, (count, confidence, right) in enumerate(bins.tolist())
        if count
    ]


def chance_eces(confidence: Floats, rng: np.random.Generator, *, samples: int = 500) -> Floats:
    """ECE that perfectly calibrated models would show on these rows, by chance alone.

    Parameters
    ----------
    confidence
        Top probability of each row, shape ``(n,)``.
    rng
        Where the draws come from: each answer is right with its own confidence.
    samples
        Number of such models, and of values returned.
    """
    member = np.eye(metrics.BINS)[metrics.calibration_bins(confidence)]
    right = (rng.random((samples, len(confidence))) < confidence).astype(np.float64)
    gap = np.abs((right - confidence) @ member)
    return np.asarray(gap.sum(1) / len(confidence))
