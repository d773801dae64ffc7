"""The answers of one variant, marked: scores, also in bootstrap samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate import bootstrap, calibration, metrics
from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.bootstrap import Sums
from morphoscope.evaluate.paired import Trials, mean_interval

__all__ = ["SCORES", "Candidate", "Exam", "Marked"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")


@dataclass(frozen=True)
class Exam:
    """The test images that every variant answers.

    Attributes
    ----------
    classes
        Names in the order of the columns of the answers.
    truth
        True class, shape ``(n,)``.
    groups
        Group of each image, drawn whole; ``None`` where every image is a group.
    fold
        Fold in which each image was tested, shape ``(n,)``; ``None`` with one split.
    validation_truth, validation_fold
        The same of the validation images, shape ``(m,)``; of several folds one after the other.
    of_class
        The class of which ``class_f1`` is, if that is a score here.
    """

    classes: list[str]
    truth: Integers
    groups: NDArray[Any] | None
    fold: Integers | None
    validation_truth: Integers
    validation_fold: Integers | None = None
    of_class: str = ""

    def scores(self, sums: Sums) -> dict[str, Floats]:
        """Every score of a comparison, each of the shape that the sums lead with."""
        found = sums.scores()
        scores = {name: found[name] for name in SCORES}
        if self.of_class:
            each = metrics.class_scores(sums.confusion).f1
            scores["class_f1"] = each[..., self.classes.index(self.of_class)]
        return scores

    @property
    def units(self) -> int:
        return len(self.truth) if self.groups is None else len(np.unique(self.groups))


@dataclass(frozen=True)
class Candidate:
    """The answers of one variant.

    Attributes
    ----------
    name
        Of the variant.
    trainings
        What each training is called; two variants may answer with the same ones.
    test, validation
        Calibrated probabilities ``(seeds, n, k)`` and ``(seeds, m, k)``.
    """

    name: str
    trainings: tuple[str, ...]
    test: Floats
    validation: Floats


class Marked:
    """One variant's answers, marked: its scores and those of bootstrap samples."""

    def __init__(self, exam: Exam, candidate: Candidate, resampling: Resampling) -> None:
        self.exam, self.candidate = exam, candidate
        self.confidence = resampling.confidence
        classes = len(exam.classes)
        self.rows = [bootstrap.row_sums(answers, exam.truth) for answers in candidate.test]
        # The same generator anew: each training is scored on the same samples of the images.
        flat = [
            bootstrap.resample(
                bootstrap.unit_sums(rows, exam.groups), resampling.samples, resampling.generator(0)
            )
            for rows in self.rows
        ]
        self.point = Sums.from_flat(np.stack([rows.sum(0) for rows in self.rows]), classes)
        self.drawn = Sums.from_flat(np.stack(flat), classes)
        values, drawn = exam.scores(self.point), exam.scores(self.drawn)
        self.trials = {name: Trials(values[name], drawn[name]) for name in values}
        confidences = candidate.test.max(2)
        self.chance = np.mean(
            [calibration.chance_eces(one, resampling.generator(1)) for one in confidences], axis=0
        )

    def as_dict(self) -> dict[str, Any]:
        scores = {name: self._score(name) for name in SCORES}
        per_class = self._per_class()
        if self.exam.of_class:
            scores["class_f1"] = per_class[self.exam.of_class]
        return {
            "name": self.candidate.name,
            "trainings": list(self.candidate.trainings),
            "scores": scores,
            "validation": self._validation(),
            "per_class": per_class,
        }

    def _score(self, name: str) -> dict[str, Any]:
        trials, n = self.trials[name], len(self.exam.truth)
        means = trials.drawn.mean(0)
        if name == "ece":
            images = bootstrap.error_interval(trials.mean, means, self.chance, n, self.confidence)
        else:
            images = bootstrap.interval(trials.mean, means, n, self.confidence)
        most = None if name == "log_loss" else 1.0
        return _described(trials, images, self.confidence, most)

    def _validation(self) -> dict[str, float]:
        truth, classes = self.exam.validation_truth, len(self.exam.classes)
        flat = [bootstrap.row_sums(one, truth).sum(0) for one in self.candidate.validation]
        scores = self.exam.scores(Sums.from_flat(np.stack(flat), classes))
        return {name: float(values.mean()) for name, values in scores.items()}

    def _per_class(self) -> dict[str, Any]:
        values = metrics.class_scores(self.point.confusion).f1
        # A class that a sample has not, and no answer names, tells nothing there.
        drawn = metrics.class_scores(self.drawn.confusion, undefined=np.nan).f1
        table = {}
        for index, name in enumerate(self.exam.classes):
            usable = np.isfinite(drawn[..., index]).all(0)
            n = int((self.exam.truth == index).sum())
            # Of a class that is nowhere there is nothing to draw: 0 to 1.
            samples = drawn[:, usable, index] if usable.any() else values[:, [index]]
            trials = Trials(values[:, index], samples)
            images = bootstrap.interval(trials.mean, trials.drawn.mean(0), n, self.confidence)
            images = bootstrap.exact_bounds(images, self.confidence)
            table[name] = _described(trials, images, self.confidence, 1.0)
        return table

    def unit_rights(self) -> Floats:
        """Right answers of each image or group, mean over the seeds."""
        right = (self.candidate.test.argmax(2) == self.exam.truth).mean(0)
        return bootstrap.unit_sums(right[:, None], self.exam.groups)[:, 0]

    def class_counts(self) -> Floats:
        """Right answers, answers and images of the class ``(seeds, units, 3)``."""
        k = len(self.exam.classes)
        index = self.exam.classes.index(self.exam.of_class)
        found = []
        for rows in self.rows:
            cells = rows[:, : k * k].reshape(-1, k, k)
            counts = [cells[:, index, index], cells[:, :, index].sum(1), cells[:, index].sum(1)]
            found.append(bootstrap.unit_sums(np.stack(counts, 1), self.exam.groups))
        return np.stack(found)

    def by_fold(self, name: str) -> Floats:
        """Score in each fold, mean over the seeds."""
        fold, classes = self.exam.fold, len(self.exam.classes)
        assert fold is not None
        sums = [[rows[fold == k].sum(0) for k in range(fold.max() + 1)] for rows in self.rows]
        return np.asarray(self.exam.scores(Sums.from_flat(np.array(sums), classes))[name].mean(0))


def _described(
    trials: Trials, images: bootstrap.Interval, confidence: float, most: float | None
) -> dict[str, Any]:
    whole = mean_interval(trials, images, confidence)
    one = trials.seeds < 2
    return {
        "value": whole.value,
        "low": max(0.0, whole.low),
        "high": whole.high if most is None else min(most, whole.high),
        "low_images": images.low,
        "high_images": images.high,
        "n": images.n,
        "seeds": trials.values.tolist(),
        "sd": None if one else float(np.sqrt(trials.spread)),
        "sd_by_images": None if one else float(np.sqrt(trials.interaction)),
    }
