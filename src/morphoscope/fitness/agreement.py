"""Whether a model agrees with labels of new images as well as it did on its own test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.bundle import Bundle
from morphoscope.evaluate.angles.sample import Measured, counted, draw, score_measured
from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.bootstrap import Interval, Sums, interval, resample, row_sums

__all__ = ["agreement", "gap", "promised"]

Floats = NDArray[np.float64]
BOUNDS = ("inclination_low", "inclination_high", "inclination_low_90", "inclination_high_90")
ROUNDING = 1e-6


def agreement(bundle: Bundle, labelled: pl.DataFrame, resampling: Resampling) -> dict[str, Any]:
    """Scores on labelled images beside those that the model promises.

    Parameters
    ----------
    bundle
        The model.
    labelled
        Answers with ``truth``.
    resampling
        Of the intervals that are no exact ones.

    Returns
    -------
    dict
        ``n``; ``scores``: of each ``new``, ``promised`` and ``gap`` (new minus promised), all with
        intervals and n; ``recalls`` the same of each class that has labels, with intervals that
        hold together; ``spread`` (deg) of the absolute errors, for inclinations.
    """
    if bundle.task == "inclination":
        return _of_inclinations(bundle, labelled, resampling)
    return _of_classes(bundle, labelled, resampling)


def gap(new: Interval, promise: Interval) -> Interval:
    """Difference of two scores of different galaxies, new minus promised.

    Notes
    -----
    The distances of either bound add in quadrature: the method of variance estimates recovery
    (Zou & Donner 2008, Statistics in Medicine 27, 1693), which of exact intervals of two shares
    makes one that is a little wide. It is a two-sample test: where the interval is without 0, the
    two differ.

    Examples
    --------
    >>> found = gap(Interval(0.8, 0.77, 0.83, 500), Interval(0.9, 0.86, 0.94, 200))
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (-0.1, -0.15, -0.05)
    """
    value = new.value - promise.value
    low = value - math.hypot(new.value - new.low, promise.high - promise.value)
    high = value + math.hypot(new.high - new.value, promise.value - promise.low)
    return Interval(value, low, high, new.n)


def promised(scores: Mapping[str, Any], name: str) -> Interval | None:
    """A score of the model's test, if it has one with an interval."""
    found = scores.get(name)
    if not found or not found["n"]:
        return None
    return Interval(*(found[key] for key in ("value", "low", "high", "n")))


def _of_classes(bundle: Bundle, labelled: pl.DataFrame, resampling: Resampling) -> dict[str, Any]:
    classes = bundle.classes
    index = {name: place for place, name in enumerate(classes)}
    truth = labelled["truth"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    names = [f"p_{name}" for name in classes]
    probabilities = labelled.select(names).to_numpy().astype(np.float64)
    right = probabilities.argmax(1) == truth
    scores = bundle.manifest["scores"]
    found = {
        "accuracy": _beside(_counted(right, resampling), promised(scores["scores"], "accuracy"))
    }
    # Of fewer classes the mean over classes is another score.
    whole = len(np.unique(truth)) == len(classes)
    f1 = _macro_f1(probabilities, truth, resampling)
    found["macro_f1"] = _beside(f1, promised(scores["scores"], "macro_f1") if whole else None)
    if bundle.sets:
        held = _held(probabilities, truth, float(bundle.sets["threshold"]))
        share = float(bundle.sets["coverage"])
        found["coverage"] = _beside(_counted(held, resampling), Interval(share, share, share, 0))
    return {
        "n": len(truth),
        "scores": found,
        "recalls": _recalls(classes, truth, right, scores["per_class"], resampling),
    }


def _recalls(
    classes: list[str],
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    per_class: Mapping[str, Any],
    resampling: Resampling,
) -> dict[str, Any]:
    """Share of each class that was found; Bonferroni's intervals, which hold together."""
    present = [place for place in range(len(classes)) if (truth == place).any()]
    together = 1 - (1 - resampling.confidence) / max(1, len(present))
    strict = Resampling(resampling.samples, together, resampling.seed)
    return {
        classes[place]: _beside(
            _counted(right[truth == place], strict), promised(per_class[classes[place]], "recall")
        )
        for place in present
    }


def _of_inclinations(
    bundle: Bundle, labelled: pl.DataFrame, resampling: Resampling
) -> dict[str, Any]:
    columns = ("truth", "inclination", *BOUNDS)
    measured = Measured(*(labelled[name].cast(pl.Float64).to_numpy() for name in columns))
    own = score_measured(measured, draw(len(measured), None, resampling))
    own["coverage_68"] = counted(measured.held_68, resampling.confidence)
    own["coverage_90"] = counted(measured.held_90, resampling.confidence)
    scores = bundle.manifest["scores"]["scores"]
    return {
        "n": len(measured),
        "scores": {
            name: _beside(_as_interval(own[name]), promised(scores, name))
            for name in ("mae", "rms", "bias", "coverage_68", "coverage_90")
        },
        "recalls": {},
        "spread": float(np.abs(measured.value - measured.truth).std()),
    }


def _as_interval(found: Mapping[str, Any]) -> Interval:
    return Interval(*(found[key] for key in ("value", "low", "high", "n")))


def _counted(held: NDArray[np.bool_], resampling: Resampling) -> Interval:
    return _as_interval(counted(held, resampling.confidence))


def _macro_f1(probabilities: Floats, truth: NDArray[np.int64], resampling: Resampling) -> Interval:
    rows = row_sums(probabilities, truth)
    k = probabilities.shape[1]
    value = float(Sums.from_flat(rows.sum(0), k).scores()["macro_f1"])
    drawn = resample(rows, resampling.samples, resampling.generator(1))
    replicates = Sums.from_flat(drawn, k).scores()["macro_f1"]
    return interval(value, replicates, len(truth), resampling.confidence)


def _held(probabilities: Floats, truth: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
    """Whether the set of each image holds its class: the likeliest, and all above the threshold."""
    own = probabilities[np.arange(len(truth)), truth]
    return np.asarray((probabilities.argmax(1) == truth) | (own >= threshold - ROUNDING))


def _beside(new: Interval, promise: Interval | None) -> dict[str, Any]:
    return {
        "new": new.as_dict(),
        "promised": promise.as_dict() if promise else None,
        "gap": gap(new, promise).as_dict() if promise else None,
    }
