"""Which images the model turns away, and how well it tells discs from what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.angles.sample import Draws, counted

__all__ = ["KEPT", "answers_of", "area_under_curve", "curve", "find_threshold", "judge_rejection"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Share of the discs that are not to be turned away.
KEPT = 0.97
CURVE_POINTS = 200


def find_threshold(
    disc_probability: Floats, kept: float = KEPT, origins: list[str] | None = None
) -> float:
    """Largest probability below which an image is turned away and still this share of discs stays.

    Parameters
    ----------
    disc_probability
        Calibrated probability of the first class, of validation images that are discs ``(n,)``.
    kept
        Share of new discs that stay, at least, on average over validation splits.
    origins
        Where each disc is from: the share stays of each origin that has discs enough, lest many
        simulated galaxies decide about a few real ones.

    Returns
    -------
    float
        The ⌈(n + 1) × kept⌉-th largest; 0, so that nothing is turned away, of too few discs.

    Notes
    -----
    Split conformal prediction, as for the sets of classes: Sadinle, Lei & Wasserman (2019), JASA
    114, 223.

    Examples
    --------
    >>> round(find_threshold(np.linspace(0.01, 0.99, 99), 0.9), 3)
    0.1
    """
    if origins is not None and len(set(origins)) > 1:
        names = np.array(origins)
        parts = [disc_probability[names == origin] for origin in sorted(set(origins))]
        enough = [part for part in parts if _rank(len(part), kept) <= len(part)]
        return min(find_threshold(part, kept) for part in (disc_probability, *enough))
    n = len(disc_probability)
    rank = _rank(n, kept)
    return float(np.sort(disc_probability)[n - rank]) if rank <= n else 0.0


def _rank(n: int, kept: float) -> int:
    """Give the place, from above, of the probability that keeps this share of n discs."""
    return int(np.ceil((n + 1) * kept - 1e-9))


def area_under_curve(score: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Probability that a positive scores higher than a negative; equal scores count half.

    Parameters
    ----------
    score, positive
        Shape ``(n,)``.
    weights
        How often each counts, shape ``(samples, n)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(samples,)``; not-a-number where positives or negatives are absent.

    Notes
    -----
    The statistic of Mann & Whitney (1947) over the product of the numbers.

    Examples
    --------
    >>> score, positive = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True])
    >>> area_under_curve(score, positive, np.ones((1, 4))).tolist()
    [0.875]
    """
    order = np.argsort(score, kind="stable")
    starts = np.unique(score[order], return_index=True)[1]
    ones, zeros = (
        np.add.reduceat(np.where(side, weights, 0.0)[:, order], starts, axis=1)
        for side in (positive, ~positive)
    )
    below = np.cumsum(zeros, axis=1) - zeros / 2
    pairs = ones.sum(1) * zeros.sum(1)
    return np.asarray(
        np.divide((ones * below).sum(1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    )


def curve(score: Floats, positive: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Share of the discs kept and of the others turned away at falling thresholds."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    kept = np.cumsum(positive[order])[ends] / max(1, int(positive.sum()))
    passed = np.cumsum(~positive[order])[ends] / max(1, int((~positive).sum()))
    some = np.unique(np.linspace(0, len(ends) - 1, min(CURVE_POINTS, len(ends))).astype(int))
    points = [{"kept": 0.0, "rejected": 1.0}]
    return points + [
        {"kept": float(kept[i]), "rejected": float(1 - passed[i])} for i in some.tolist()
    ]


def judge_rejection(
    probabilities: Floats,
    truth: Integers,
    classes: list[str],
    threshold: float,
    draws: Draws,
    origins: list[str] | None = None,
) -> dict[str, Any]:
    """Score the rule on the test images.

    Parameters
    ----------
    probabilities
        Calibrated, shape ``(n, k)``; the first class is the discs.
    truth
        True class, shape ``(n,)``.
    classes
        Names in the order of the columns.
    threshold
        An image with a lower probability of the first class is turned away.
    draws
        Samples of the same images.
    origins
        Where each image is from; of more than one origin each is scored by itself.

    Returns
    -------
    dict
        JSON values, see ``docs/inclination.md``.
    """
    disc, score = truth == 0, probabilities[:, 0]
    rejected = score < threshold
    answer = answers_of(probabilities, rejected)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth, answer), 1)
    found: dict[str, Any] = {
        "threshold": threshold,
        "asked": KEPT,
        "kept": counted(~rejected[disc], draws.confidence),
        "rejected": {
            name: counted(rejected[truth == index], draws.confidence)
            for index, name in enumerate(classes)
            if index and (truth == index).any()
        },
        "by_origin": _by_origin(rejected, truth, classes, origins, draws.confidence),
        "confusion": confusion.tolist(),
        "auc": None,
        "curve": [],
    }
    if disc.any() and not disc.all():
        found["rejected_of_all"] = counted(rejected[~disc], draws.confidence)
        value = float(area_under_curve(score, disc, np.ones((1, len(score))))[0])
        drawn = np.concatenate(
            [area_under_curve(score, disc, part.astype(np.float64)) for part in draws.blocks()]
        )
        found["auc"] = draws.between(value, drawn)
        found["curve"] = curve(score, disc)
    return found


def answers_of(probabilities: Floats, rejected: NDArray[np.bool_]) -> Integers:
    """Class by the rule: the first where kept, else the likeliest of the others."""
    if probabilities.shape[1] == 1:
        return np.zeros(len(probabilities), np.int64)
    return np.asarray(np.where(rejected, 1 + probabilities[:, 1:].argmax(1), 0), dtype=np.int64)


def _by_origin(
    rejected: NDArray[np.bool_],
    truth: Integers,
    classes: list[str],
    origins: list[str] | None,
    confidence: float,
) -> dict[str, dict[str, Any]]:
    """Share of each origin's classes that is turned away; nothing where all are from one."""
    if origins is None or len(set(origins)) < 2:
        return {}
    names = np.array(origins)
    return {
        origin: {
            name: counted(rejected[chosen], confidence)
            for index, name in enumerate(classes)
            if (chosen := (names == origin) & (truth == index)).any()
        }
        for origin in sorted(set(origins))
    }
