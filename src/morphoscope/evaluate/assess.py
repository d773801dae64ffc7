"""From answers to ``metrics.json``: every score with its interval and its n."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate import bootstrap, calibration, metrics
from morphoscope.evaluate.bootstrap import Interval, Sums

__all__ = ["Answers", "Resampling", "assess", "score"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
KEPT = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


@dataclass(frozen=True)
class Answers:
    """What the model said of the rows of one split.

    Attributes
    ----------
    log_probabilities
        Logarithm of the model's mean probability, shape ``(n, k)``.
    truth
        True class, shape ``(n,)``.
    groups
        Group of each row, drawn whole by the bootstrap, shape ``(n,)``.
    """

    log_probabilities: Floats
    truth: Integers
    groups: NDArray[Any] | None = None

    @property
    def units(self) -> NDArray[Any] | None:
        """Groups where at least one holds two rows, else ``None``."""
        if self.groups is None or len(np.unique(self.groups)) == len(self.groups):
            return None
        return self.groups


@dataclass(frozen=True)
class Resampling:
    """How intervals are made."""

    samples: int
    confidence: float
    seed: int

    def generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *purpose))


def assess(
    test: Answers,
    validation: Answers,
    classes: list[str],
    temperature: float,
    resampling: Resampling,
) -> dict[str, Any]:
    """Compute every score of the test split, and those of validation to compare.

    Parameters
    ----------
    test, validation
        Answers of the two splits.
    classes
        Names in the order of the columns.
    temperature
        Fitted on validation; 1 leaves the probabilities as they are.
    resampling
        Number of bootstrap samples, confidence and seed.

    Returns
    -------
    dict
        JSON values, see ``docs/evaluate.md``.
    """
    sums = _Resampled(test, temperature, resampling, 0)
    held = _Resampled(validation, temperature, resampling, 1)
    confusion = sums.point.confusion.astype(np.int64)
    scores = sums.scores()
    return {
        "n_test": len(test.truth),
        "n_validation": len(validation.truth),
        "classes": classes,
        "interval": {
            "method": "percentile bootstrap",
            "unit": "image" if test.units is None else "group",
            "units": len(test.truth) if test.units is None else len(np.unique(test.units)),
            "samples": resampling.samples,
            "confidence": resampling.confidence,
            "seed": resampling.seed,
        },
        "baseline": _baseline(confusion, classes),
        "scores": {name: score.as_dict() for name, score in scores.items()},
        "validation": {name: score.as_dict() for name, score in held.scores().items()},
        "per_class": sums.per_class(classes),
        "confusion": confusion.tolist(),
        "confused": _confused(confusion, classes),
        "calibration": _calibration(test, len(validation.truth), temperature, sums.chance),
        "trust": _trust(test, sums.probabilities, scores["accuracy"], resampling),
    }


def score(answers: Answers, classes: list[str], resampling: Resampling) -> dict[str, Any]:
    """``scores`` and ``per_class`` of answers whose probabilities are taken as they are."""
    sums = _Resampled(answers, 1.0, resampling, 0)
    return {
        "scores": {name: one.as_dict() for name, one in sums.scores().items()},
        "per_class": sums.per_class(classes),
    }


class _Resampled:
    """The sums of one split, and those of its bootstrap samples."""

    def __init__(
        self, answers: Answers, temperature: float, resampling: Resampling, purpose: int
    ) -> None:
        self.n, classes = answers.log_probabilities.shape
        self.confidence = resampling.confidence
        self.probabilities = calibration.apply_temperature(answers.log_probabilities, temperature)
        rows = bootstrap.row_sums(self.probabilities, answers.truth)
        drawn = bootstrap.resample(
            bootstrap.unit_sums(rows, answers.units),
            resampling.samples,
            resampling.generator(purpose),
        )
        self.point = Sums.from_flat(rows.sum(0), classes)
        self.drawn = Sums.from_flat(drawn, classes)
        self.chance = calibration.chance_eces(
            self.probabilities.max(1), resampling.generator(purpose, 1)
        )

    def scores(self) -> dict[str, Interval]:
        point, drawn = self.point.scores(), self.drawn.scores()
        found = {
            name: bootstrap.interval(float(value), drawn[name], self.n, self.confidence)
            for name, value in point.items()
        }
        for share in ("accuracy", "top2_accuracy"):
            found[share] = bootstrap.exact_bounds(found[share], self.confidence)
        found["ece"] = bootstrap.error_interval(
            float(point["ece"]), drawn["ece"], self.chance, self.n, self.confidence
        )
        return found

    def per_class(self, classes: list[str]) -> dict[str, Any]:
        point = metrics.class_scores(self.point.confusion)
        drawn = metrics.class_scores(self.drawn.confusion, undefined=np.nan)
        support = self.point.confusion.sum(1).astype(int)
        behind = {
            "precision": self.point.confusion.sum(0).astype(int),
            "recall": support,
            "f1": support,
        }
        table: dict[str, Any] = {}
        for index, name in enumerate(classes):
            table[name] = {"support": int(support[index])}
            for score, n in behind.items():
                value, samples = getattr(point, score)[index], getattr(drawn, score)[:, index]
                share = bootstrap.interval(float(value), samples, int(n[index]), self.confidence)
                table[name][score] = bootstrap.exact_bounds(share, self.confidence).as_dict()
        return table


def _baseline(confusion: Integers, classes: list[str]) -> dict[str, Any]:
    support = confusion.sum(1)
    commonest = int(support.argmax())
    return {"class": classes[commonest], "accuracy": float(support[commonest] / support.sum())}


def _confused(confusion: Integers, classes: list[str]) -> list[dict[str, Any]]:
    support = confusion.sum(1)
    pairs = [
        {
            "true": classes[i],
            "answer": classes[j],
            "n": int(confusion[i, j]),
            "of": int(support[i]),
            "share": float(confusion[i, j] / support[i]),
        }
        for i, j in zip(*np.nonzero(confusion), strict=True)
        if i != j
    ]
    return sorted(pairs, key=lambda pair: -pair["n"])


def _calibration(
    test: Answers, n_validation: int, temperature: float, chance: Floats
) -> dict[str, Any]:
    found: dict[str, Any] = {"temperature": temperature, "n_validation": n_validation}
    for name, value in (("before", 1.0), ("after", temperature)):
        probabilities = calibration.apply_temperature(test.log_probabilities, value)
        sums = Sums.from_flat(
            bootstrap.row_sums(probabilities, test.truth).sum(0), probabilities.shape[1]
        )
        scores = sums.scores()
        found[name] = {
            "ece": float(scores["ece"]),
            "log_loss": float(scores["log_loss"]),
            "reliability": calibration.reliability(sums.bins),
        }
    found["ece_by_chance"] = float(chance.mean())
    return found


def _trust(
    test: Answers, probabilities: Floats, accuracy: Interval, resampling: Resampling
) -> list[dict[str, Any]]:
    """Accuracy of the surest answers, from all of them down to a tenth."""
    top, right = probabilities.max(1), probabilities.argmax(1) == test.truth
    thresholds = np.quantile(top, 1 - KEPT)
    kept = (top[:, None] >= thresholds).astype(np.float64)
    rows = np.concatenate([kept, kept * right[:, None]], axis=1)
    drawn = bootstrap.resample(
        bootstrap.unit_sums(rows, test.units), resampling.samples, resampling.generator(2)
    )
    n, correct = np.split(rows.sum(0), 2)
    with np.errstate(invalid="ignore"):
        shares = np.divide(*np.split(drawn, 2, axis=1)[::-1])
    found = []
    for index, threshold in enumerate(thresholds):
        value = float(correct[index] / n[index])
        share = bootstrap.interval(value, shares[:, index], int(n[index]), resampling.confidence)
        share = bootstrap.exact_bounds(share, resampling.confidence)
        if n[index] == len(top):
            share = accuracy
        found.append(
            {
                "threshold": float(threshold),
                "share": float(n[index] / len(top)),
                "accuracy": share.as_dict(),
            }
        )
    return found
