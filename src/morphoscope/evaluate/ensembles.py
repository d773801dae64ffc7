"""Ensembles of what is trained already: of the seeds of a variant, and of the best variants.

They are models that nobody trained again, so no test compares them: their intervals hold for these
very members on other images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate import calibration, metrics
from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.marking import Candidate, Exam, Marked

__all__ = ["ensembles"]

Floats = NDArray[np.float64]
LEAST = 1e-30


def ensembles(
    exam: Exam, candidates: list[Candidate], resampling: Resampling
) -> list[dict[str, Any]]:
    """Score the mean probability of several trainings.

    Parameters
    ----------
    exam
        The test images; those of validation fit each ensemble's temperature.
    candidates
        The variants.
    resampling
        Bootstrap samples, confidence and seed.

    Returns
    -------
    list of dict
        ``name``, ``of`` (names of the variants), ``members``, ``scores``, ``validation`` and
        ``per_class``. First one a variant with all its seeds, then the variants that were chosen on
        validation: the best by log loss, and with it every other one, the best first, as long as it
        lowers the log loss of the mean (forward selection, Caruana et al. 2004, ICML); none is
        chosen where there are folds.
    """
    several = [one for one in candidates if len(one.test) > 1]
    found = [_marked(exam, f"{one.name}, all seeds", [one], resampling) for one in several]
    # With folds a validation galaxy is a test galaxy of another fold: the choice would know it.
    chosen = _chosen(exam, candidates) if exam.fold is None else []
    if len(chosen) > 1:
        name = f"{' + '.join(one.name for one in chosen)}, chosen on validation"
        found.append(_marked(exam, name, chosen, resampling))
    return found


def _marked(exam: Exam, name: str, of: list[Candidate], resampling: Resampling) -> dict[str, Any]:
    validation = np.log(np.maximum(np.concatenate([one.validation for one in of]).mean(0), LEAST))
    test = np.log(np.maximum(np.concatenate([one.test for one in of]).mean(0), LEAST))
    for fold in (None,) if exam.fold is None else range(exam.fold.max() + 1):
        fitted = _within(exam.validation_fold, fold, len(validation))
        asked = _within(exam.fold, fold, len(test))
        temperature = calibration.fit_temperature(validation[fitted], exam.validation_truth[fitted])
        validation[fitted] = calibration.apply_temperature(validation[fitted], temperature)
        test[asked] = calibration.apply_temperature(test[asked], temperature)
    together = Candidate(name, ("mean",), test[None], validation[None])
    found = Marked(exam, together, resampling).as_dict()
    return {
        "name": name,
        "of": [one.name for one in of],
        "members": sum(len(one.test) for one in of),
        **{key: found[key] for key in ("scores", "validation", "per_class")},
    }


def _within(folds: NDArray[np.int64] | None, fold: int | None, n: int) -> NDArray[np.bool_]:
    return np.ones(n, dtype=bool) if folds is None else np.asarray(folds == fold)


def _chosen(exam: Exam, candidates: list[Candidate]) -> list[Candidate]:
    def loss(of: list[Candidate]) -> float:
        mean = np.concatenate([one.validation for one in of]).mean(0)
        return float(metrics.log_losses(mean, exam.validation_truth).mean())

    ranked = sorted(candidates, key=lambda one: loss([one]))
    chosen = ranked[:1]
    for one in ranked[1:]:
        used = {training for member in chosen for training in member.trainings}
        if used.isdisjoint(one.trainings) and loss([*chosen, one]) < loss(chosen):
            chosen.append(one)
    return chosen
