"""From the answers of many trainings to scores, differences and what can be claimed of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.crosscheck import class_swap, mcnemar, sign_flip
from morphoscope.evaluate.ensembles import ensembles
from morphoscope.evaluate.marking import Candidate, Exam, Marked
from morphoscope.evaluate.paired import Difference, difference, fold_difference, holm

__all__ = ["HIGHER_IS_BETTER", "compare"]

Score = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "class_f1"]
HIGHER_IS_BETTER = frozenset({"accuracy", "balanced_accuracy", "macro_f1", "class_f1"})
FLIPS = 10_000
# That of the least probability that counts, see `metrics.log_losses`.
MOST_LOSS = -math.log(np.finfo(np.float64).eps)


def compare(
    exam: Exam,
    candidates: list[Candidate],
    *,
    score: Score,
    planned: Sequence[tuple[str, str]] = (),
    resampling: Resampling,
) -> dict[str, Any]:
    """Score every variant and test their differences.

    Parameters
    ----------
    exam
        The test images.
    candidates
        The variants, all with the same number of trainings.
    score
        The score that claims are about.
    planned
        Names of the pairs that are tested; those that are no candidates do not count, and where
        none is left all pairs are tested.
    resampling
        Bootstrap samples, confidence and seed.

    Returns
    -------
    dict
        JSON values, see ``docs/compare.md``.
    """
    marked = [Marked(exam, candidate, resampling) for candidate in candidates]
    return {
        "score": score,
        "of_class": exam.of_class,
        "classes": exam.classes,
        "n_test": len(exam.truth),
        "n_validation": len(exam.validation_truth),
        "unit": "image" if exam.groups is None else "group",
        "units": exam.units,
        "seeds": len(candidates[0].test),
        "folds": 0 if exam.fold is None else int(exam.fold.max()) + 1,
        "confidence": resampling.confidence,
        "samples": resampling.samples,
        "support": np.bincount(exam.truth, minlength=len(exam.classes)).tolist(),
        "variants": [one.as_dict() for one in marked],
        "planned_lost": bool(planned) and not _planned(marked, planned),
        "pairs": _pairs(exam, marked, score, planned, resampling),
        "ensembles": ensembles(exam, candidates, resampling),
    }


def _pairs(
    exam: Exam,
    marked: list[Marked],
    score: Score,
    planned: Sequence[tuple[str, str]],
    resampling: Resampling,
) -> list[dict[str, Any]]:
    """Every tested pair, the better one first by the score that claims are about."""
    sign = 1 if score in HIGHER_IS_BETTER else -1
    ranked = sorted(marked, key=lambda one: -sign * one.trials[score].mean)
    pairs = _planned(ranked, planned) or list(itertools.combinations(ranked, 2))
    rng = resampling.generator(2)
    found: list[dict[str, Any]] = []
    for first, second in pairs:
        rights = zip(first.candidate.test, second.candidate.test, strict=True)
        found.append(
            {
                "first": first.candidate.name,
                "second": second.candidate.name,
                "same_trainings": first.candidate.trainings == second.candidate.trainings,
                "same_answers": bool(
                    (first.candidate.test.argmax(2) == second.candidate.test.argmax(2)).all()
                ),
                "scores": {},
                "sign_flip": sign_flip(first.unit_rights() - second.unit_rights(), FLIPS, rng),
                "mcnemar": [
                    mcnemar(a.argmax(1) == exam.truth, b.argmax(1) == exam.truth) for a, b in rights
                ],
            }
        )
    # A calibration error is raised by chance, more for one model than for another: no test of it.
    for name in (name for name in ranked[0].trials if name != "ece"):
        tested = [_tested(exam, first, second, name) for first, second in pairs]
        # Of single models Student's t says too much where few answers differ, and signs do not.
        exact = name == "accuracy" and exam.fold is None and len(ranked[0].candidate.test) == 1
        p_values = [
            max(one.p_value, entry["sign_flip"]) if exact else one.p_value
            for entry, one in zip(found, tested, strict=True)
        ]
        if name == "class_f1":
            counts = [(one.class_counts(), other.class_counts()) for one, other in pairs]
            swaps = [class_swap(one, other, FLIPS, rng) for one, other in counts]
            p_values = [max(both) for both in zip(p_values, swaps, strict=True)]
        corrected = zip(p_values, holm(p_values), strict=True)
        for entry, one, both in zip(found, tested, corrected, strict=True):
            entry["scores"][name] = _difference(one, name, both, len(pairs), resampling.confidence)
    return found


def _planned(
    marked: list[Marked], planned: Sequence[tuple[str, str]]
) -> list[tuple[Marked, Marked]]:
    wanted = {frozenset(names) for names in planned}
    pairs = itertools.combinations(marked, 2)
    return [p for p in pairs if frozenset(one.candidate.name for one in p) in wanted]


def _tested(exam: Exam, first: Marked, second: Marked, name: str) -> Difference:
    one, other = first.trials[name], second.trials[name]
    if exam.fold is None:
        shared = first.candidate.trainings == second.candidate.trainings
        return difference(one, other, units=exam.units, shared=shared)
    return fold_difference(one.mean - other.mean, first.by_fold(name) - second.by_fold(name))


def _difference(
    one: Difference, name: str, p_values: tuple[float, float], pairs: int, confidence: float
) -> dict[str, Any]:
    """The numbers of a pair; an interval leaves 0 out only where its p-value says so."""
    # Two shares differ by 1 at most.
    most = 1.0 if name in HIGHER_IS_BETTER else MOST_LOSS
    p_value, p_holm = p_values
    low, high = np.clip(one.bounds(confidence), -most, most).tolist()
    if p_value >= 1 - confidence:
        low, high = min(low, 0.0), max(high, 0.0)
    # Bonferroni's level: the intervals of all pairs hold their truths together. An interval that
    # lies on one side of 0 belongs to a pair that Holm's correction finds different, too.
    together = one.bounds(1 - (1 - confidence) / pairs)
    low_all, high_all = np.clip(together, -most, most).tolist()
    if p_holm >= 1 - confidence:
        low_all, high_all = min(low_all, 0.0), max(high_all, 0.0)
    return {
        "value": one.value,
        "low": low,
        "high": high,
        "low_all": low_all,
        "high_all": high_all,
        "p": p_value,
        "p_holm": p_holm,
        "freedom": one.freedom,
    }
