"""Prediction sets that hold the true class in a stated share of the cases.

Split conformal prediction with the score 1 − p (Sadinle, Lei & Wasserman 2019, JASA 114, 223):
a set takes every class whose calibrated probability reaches a threshold, which is a quantile of
the probabilities that validation images give to their true class. Among sets of the same coverage
these are the smallest on average, and anyone can make them from the probabilities. With one
threshold the coverage holds for all images together; with one for each class (their section 3.1),
also within each class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.binomial import coverage_range, exact_interval

__all__ = ["Threshold", "check_sets", "class_thresholds", "prediction_sets", "threshold"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Members = NDArray[np.bool_]
# Sets of the images that the thresholds come from must hold their truth to the last bit.
TIE = 1e-12


@dataclass(frozen=True)
class Threshold:
    """Least probability of a class in a set, and what it was found from.

    Attributes
    ----------
    value
        0 where calibration has too few images to leave the class out of any set.
    n
        Calibration images.
    rank
        How many of them, of ``n + 1``, the sets must hold: ⌈(n + 1) × coverage⌉.
    """

    value: float
    n: int
    rank: int

    @property
    def too_few(self) -> bool:
        """Whether every set takes the class, since nothing can be said of leaving it out."""
        return self.rank > self.n

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "n": self.n, "too_few": self.too_few}


def threshold(true_probability: Floats, coverage: float) -> Threshold:
    """Threshold whose sets hold the truth with at least this probability.

    Parameters
    ----------
    true_probability
        Probability that each calibration image gives to its true class, shape ``(n,)``.
    coverage
        Least probability that the set of a new image holds its true class. The promise is kept on
        average over calibration sets, if calibration and new images are exchangeable.

    Notes
    -----
    The ⌈(n + 1) × coverage⌉-th largest of the probabilities; the + 1 counts the new image (Vovk et
    al. 2005; Lei et al. 2018, theorem 2). Where that exceeds n, only a threshold of 0 will do.

    Examples
    --------
    >>> round(threshold(np.linspace(0.01, 0.99, 99), 0.9).value, 3)
    0.1
    """
    n = len(true_probability)
    # 0.9 × 10 must be 9, although 0.9 is a little more in binary.
    rank = math.ceil((n + 1) * coverage - 1e-9)
    value = float(np.sort(true_probability)[n - rank]) if rank <= n else 0.0
    return Threshold(value, n, rank)


def class_thresholds(probabilities: Floats, truth: Integers, coverage: float) -> list[Threshold]:
    """Threshold of each class, from the calibration images of that class alone.

    Parameters
    ----------
    probabilities
        Of the calibration images, shape ``(n, k)``.
    truth
        True class, shape ``(n,)``.
    coverage
        As for `threshold`, now within each class.
    """
    return [
        threshold(probabilities[truth == index, index], coverage)
        for index in range(probabilities.shape[1])
    ]


def prediction_sets(probabilities: Floats, thresholds: Floats | float) -> Members:
    """Which classes each set holds: those at or above the threshold, and the likeliest always.

    A set without the likeliest class would be empty; adding it can only raise the coverage.

    Parameters
    ----------
    probabilities
        Shape ``(n, k)``.
    thresholds
        One for all, or one for each class, shape ``(k,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, k)``.

    Examples
    --------
    >>> prediction_sets(np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3]]), 0.3).tolist()
    [[True, True, False], [True, True, True]]
    """
    members = probabilities >= np.asarray(thresholds) - TIE
    members[np.arange(len(probabilities)), probabilities.argmax(1)] = True
    return np.asarray(members)


def check_sets(
    calibration: tuple[Floats, Integers],
    test: tuple[Floats, Integers],
    classes: list[str],
    *,
    coverage: float,
    confidence: float,
) -> dict[str, Any]:
    """Make both kinds of sets from calibration images, and check them on the test images.

    Parameters
    ----------
    calibration, test
        Calibrated probabilities ``(n, k)`` and true classes ``(n,)``.
    classes
        Names in the order of the columns.
    coverage
        Share of the sets that should hold the truth.
    confidence
        Of the intervals.

    Returns
    -------
    dict
        JSON values, see ``docs/evaluate.md``.
    """
    (known, known_truth), (probabilities, truth) = calibration, test
    one = threshold(known[np.arange(len(known)), known_truth], coverage)
    each = class_thresholds(known, known_truth, coverage)
    kinds = {
        "overall": prediction_sets(probabilities, one.value),
        "by_class": prediction_sets(probabilities, np.array([t.value for t in each])),
    }
    found: dict[str, Any] = {"coverage": coverage, "n_calibration": one.n}
    for name, members in kinds.items():
        found[name] = _summary(members, truth, confidence)
    by_chance = coverage_range(one.rank, one.n, len(truth), confidence)
    # What the range is of: the likeliest class, which is always in, raises the coverage.
    alone = probabilities[np.arange(len(truth)), truth] >= one.value - TIE
    found["overall"] |= {
        "threshold": one.as_dict(),
        "found_by_threshold": float(alone.mean()),
        "by_chance": dict(zip(("low", "high"), by_chance, strict=True)),
    }
    found["classes"] = {
        name: {
            "threshold": each[index].as_dict(),
            **{
                kind: _coverage(members[truth == index, index], confidence)
                for kind, members in kinds.items()
            },
        }
        for index, name in enumerate(classes)
    }
    return found


def _summary(members: Members, truth: Integers, confidence: float) -> dict[str, Any]:
    sizes = members.sum(1)
    counts = np.bincount(sizes, minlength=members.shape[1] + 1)[1:]
    return {
        "found": _coverage(members[np.arange(len(truth)), truth], confidence),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "sizes": counts.tolist(),
    }


def _coverage(held: Members, confidence: float) -> dict[str, Any]:
    """Share of the sets that hold the truth, with its exact interval."""
    n, count = len(held), int(held.sum())
    low, high = exact_interval(count, n, confidence)
    return {"value": count / n if n else 0.0, "low": low, "high": high, "n": n}
