"""How far new images, and the answers about them, are from those of the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.bundle import Bundle
from morphoscope.bundle.distribution import distribution_of_answers
from morphoscope.evaluate.binomial import exact_interval
from morphoscope.evaluate.bootstrap import Interval, error_interval
from morphoscope.familiarity import (
    FLAGGED,
    Trait,
    deviations,
    differing_traits,
    usual_deviations,
)
from morphoscope.fitness.asking import Asked

__all__ = ["between_counts", "between_values", "drift_of_answers", "drift_of_inputs"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SAMPLES = 500
MEASURES = {
    "counts": "total variation distance",
    "quantiles": "Kolmogorov–Smirnov distance",
}


def drift_of_inputs(
    bundle: Bundle, asked: Asked, answers: pl.DataFrame, confidence: float
) -> dict[str, Any] | None:
    """Share of the new images that is unlike those of training, and in what they differ.

    Parameters
    ----------
    bundle
        The model.
    asked
        What was looked at.
    answers
        Rows with an answer that stand for the survey.
    confidence
        Of the interval.

    Returns
    -------
    dict or None
        ``unlike`` (share with its exact interval), ``expected`` (share by construction) and
        ``traits`` (``name``, ``shift``). None where the model cannot tell.
    """
    if bundle.familiar is None or "unlike_training" not in answers.columns:
        return None
    flagged = int(answers["unlike_training"].sum())
    low, high = exact_interval(flagged, answers.height, confidence)
    traits: list[Trait] = []
    if len(asked.descriptors):
        found = deviations(asked.descriptors, bundle.familiar)
        traits = differing_traits(found, usual_deviations(bundle.familiar), bundle.shape)
    return {
        "unlike": Interval(flagged / answers.height, low, high, answers.height).as_dict(),
        "expected": float(bundle.familiar.get("flagged", FLAGGED)),
        "traits": [{"name": t.name, "shift": t.shift, "sentence": t.sentence} for t in traits],
    }


def drift_of_answers(
    bundle: Bundle, answers: pl.DataFrame, confidence: float, seed: int
) -> dict[str, dict[str, Any]]:
    """Distances of the answers' distributions from those on the test images.

    Parameters
    ----------
    bundle
        The model. One from before distributions were kept has counts of its classes alone.
    answers
        Rows with an answer.
    confidence, seed
        Of the intervals.

    Returns
    -------
    dict
        Of ``classes`` (or ``rejects``), ``confidence``, ``inclination``, ``width_68``, those that
        can be compared: ``measure``, ``value``, ``low``, ``high``, ``n``, ``n_test``, and
        ``new`` and ``test`` (shares of the answers, or medians).
    """
    reference = _reference(bundle)
    if reference is None or not answers.height:
        return {}
    here = distribution_of_answers(answers, bundle.task, bundle.classes)
    generator = np.random.default_rng(seed)
    name = "rejects" if bundle.task == "inclination" else "classes"
    ours, theirs = (_counts(one["counts"], bundle.classes) for one in (here, reference))
    apart = between_counts(ours, theirs, confidence, generator)
    found = {
        name: {
            **_told(apart, "counts", int(theirs.sum())),
            "new": dict(zip(bundle.classes, (ours / ours.sum()).tolist(), strict=True)),
            "test": dict(zip(bundle.classes, (theirs / theirs.sum()).tolist(), strict=True)),
        }
    }
    for name, steps in reference.get("quantiles", {}).items():
        if name in here["quantiles"]:
            own, other = np.array(here["quantiles"][name]), np.array(steps)
            n, n_test = here["of"][name], reference["of"][name]
            apart = between_values(own, other, n, n_test, confidence, generator)
            middles = {"new": float(np.median(own)), "test": float(np.median(other))}
            found[name] = {**_told(apart, "quantiles", n_test), **middles}
    return found


def between_counts(
    ours: Integers, theirs: Integers, confidence: float, generator: np.random.Generator
) -> Interval:
    """Share of the galaxies that would have to change class for the mixes to be alike.

    Parameters
    ----------
    ours, theirs
        Counts of each class ``(k,)``.
    confidence
        Of the interval, which holds 0 where chance alone explains the distance.
    generator
        Draws the samples of either side.

    Notes
    -----
    Total variation distance. Chance pushes it up and resampling again, which the interval turns
    round, as that of a calibration error.
    """
    n, m = int(ours.sum()), int(theirs.sum())
    pooled = (ours + theirs) / (n + m)
    drawn = [generator.multinomial(size, p / p.sum(), SAMPLES) for size, p in _sides(ours, theirs)]
    chance = [generator.multinomial(size, pooled, SAMPLES) for size in (n, m)]
    value = float(_variation(ours[None], theirs[None])[0])
    return error_interval(value, _variation(*drawn), _variation(*chance), n, confidence)


def between_values(
    ours: Floats,
    theirs: Floats,
    n: int,
    m: int,
    confidence: float,
    generator: np.random.Generator,
) -> Interval:
    """Largest difference of two cumulative distributions, of which quantiles are known.

    Parameters
    ----------
    ours, theirs
        Quantiles ``(steps,)``, evenly spaced in rank.
    n, m
        Number of values behind each.
    confidence
        Of the interval, which holds 0 where chance alone explains the distance.
    generator
        Draws the samples of either side.

    Notes
    -----
    Kolmogorov–Smirnov distance. Between two quantiles the distribution counts as even.
    """
    sizes = (n, m)
    pooled = np.concatenate([_spread(one, size) for one, size in zip((ours, theirs), sizes)])
    drawn, chance = np.empty(SAMPLES), np.empty(SAMPLES)
    for index in range(SAMPLES):
        pairs = [_draws(one, size, generator) for one, size in zip((ours, theirs), sizes)]
        drawn[index] = _largest(*pairs)
        chance[index] = _largest(*(generator.choice(pooled, size) for size in sizes))
    value = _largest(_spread(ours, n), _spread(theirs, m))
    return error_interval(value, drawn, chance, n, confidence)


def _told(apart: Interval, kind: str, n_test: int) -> dict[str, Any]:
    return {"measure": MEASURES[kind], **apart.as_dict(), "n_test": n_test}


def _reference(bundle: Bundle) -> dict[str, Any] | None:
    """How the answers on the test images were; of older models what their scores tell."""
    manifest = bundle.manifest
    if "answers" in manifest:
        return dict(manifest["answers"])
    scores = manifest["scores"]
    if "per_class" in scores:
        # A precision is of the images that were given the class.
        return {
            "counts": {name: row["precision"]["n"] for name, row in scores["per_class"].items()}
        }
    confusion = scores.get("reject", {}).get("confusion")
    if confusion is None:
        return None
    return {"counts": dict(zip(bundle.classes, np.sum(confusion, axis=0).tolist(), strict=True))}


def _counts(found: Mapping[str, int], classes: list[str]) -> Integers:
    return np.array([found.get(name, 0) for name in classes], np.int64)


def _sides(ours: Integers, theirs: Integers) -> list[tuple[int, Floats]]:
    return [(int(one.sum()), one.astype(np.float64)) for one in (ours, theirs)]


def _variation(ours: Integers, theirs: Integers) -> Floats:
    shares = [one / one.sum(1, keepdims=True) for one in (ours, theirs)]
    return np.asarray(np.abs(shares[0] - shares[1]).sum(1) / 2)


def _draws(quantiles: Floats, n: int, generator: np.random.Generator) -> Floats:
    return np.interp(generator.random(n), np.linspace(0, 1, len(quantiles)), quantiles)


def _spread(quantiles: Floats, n: int) -> Floats:
    """Values that have these quantiles."""
    ranks = (np.arange(n) + 0.5) / n
    return np.interp(ranks, np.linspace(0, 1, len(quantiles)), quantiles)


def _largest(ours: Floats, theirs: Floats) -> float:
    """Kolmogorov–Smirnov distance of two samples."""
    values = np.concatenate([ours, theirs])
    below = [
        np.searchsorted(np.sort(one), values, side="right") / len(one) for one in (ours, theirs)
    ]
    return float(np.abs(below[0] - below[1]).max())
