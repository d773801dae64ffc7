"""Old model against new, on galaxies that neither was trained on: those of before, and the new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.bundle import Bundle
from morphoscope.evaluate.bootstrap import interval, resample, unit_sums
from morphoscope.evaluate.crosscheck import mcnemar, sign_flip
from morphoscope.evaluate.metrics import confusion_matrix, macro_f1
from morphoscope.prepare import Store
from morphoscope.retraining.together import TABLE

__all__ = ["MARGIN", "compare_models", "deserves"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# What the new model may surely not lose on the old galaxies: a share of them, or degrees. Where two
# models answer one galaxy in fourteen differently, 800 galaxies tell the difference of their
# accuracies to 1.8 points: much less could not be shown.
MARGIN = {"classes": 0.03, "inclination": 0.5}
SAMPLES = 2000
CONFIDENCE = 0.95
AT_ONCE = 512


def compare_models(
    store: Store, old: Bundle, new: Bundle, *, digest: str, seed: int
) -> dict[str, dict[str, Any]]:
    """Compare two models on the test split, galaxy by galaxy.

    Parameters
    ----------
    store
        Images of the new run.
    old, new
        The models, as they are served.
    digest
        Of the table of new labels: galaxies that bear it are the new ones.
    seed
        Of the bootstrap.

    Returns
    -------
    dict
        Of ``new`` and ``old`` galaxies: ``n``, ``score`` (``accuracy``, or ``mae`` in deg),
        ``before`` and ``after`` (score of the old and of the new model), ``gain`` (positive: the
        new one is better) with its interval, and ``p`` of McNemar's exact test, or of sign flips;
        for classes ``macro_f1`` of both. A part without galaxies has only ``n``.
    """
    rows = store.rows("test")
    usable = store.labels[rows] >= 0
    if new.task == "inclination":
        usable &= np.isfinite(store.inclinations[rows])
    rows = rows[usable]
    fresh = (store.catalogue[TABLE] == digest).fill_null(False).to_numpy()[rows]
    answers = [_answers(bundle, store, rows) for bundle in (old, new)]
    return {
        name: _part(store, rows[chosen], [one[chosen] for one in answers], new.task, seed)
        for name, chosen in (("new", fresh), ("old", ~fresh))
    }


def deserves(found: Mapping[str, Mapping[str, Any]], task: str) -> tuple[bool, list[str]]:
    """Whether the new model is to be served, and why, in sentences.

    Notes
    -----
    It is if it is better on the new galaxies, with an interval that excludes zero and a test that
    agrees, and surely not worse on the old ones by more than the margin.
    """
    new, old, margin = found["new"], found["old"], MARGIN[task]
    told = [_told(part, name) for name, part in (("new", new), ("old", old))]
    if not new["n"]:
        return False, [*told, "Without new galaxies to test on, no gain can be shown."]
    if not (new["gain"]["low"] > 0 and new["p"] < 1 - CONFIDENCE):
        return False, [*told, "No clear gain on the new galaxies: the old model stays."]
    if old["n"] and old["gain"]["low"] < -margin:
        worst = f"{_amount(margin, task)} that are tolerated"
        return False, [*told, f"It may lose more than the {worst} on the old ones."]
    return True, [*told, "A clear gain on the new galaxies, and no loss to speak of on the old."]


def _answers(bundle: Bundle, store: Store, rows: Integers) -> NDArray[np.float32]:
    starts = range(0, len(rows), AT_ONCE)
    parts = [bundle.predict(store.gather(rows[first : first + AT_ONCE])) for first in starts]
    return np.concatenate(parts) if parts else np.empty((0, 1), np.float32)


def _part(
    store: Store, rows: Integers, answers: list[NDArray[np.float32]], task: str, seed: int
) -> dict[str, Any]:
    if not len(rows):
        return {"n": 0}
    groups = store.catalogue["group"].to_numpy()[rows]
    if task == "inclination":
        place = len(store.classes)
        losses = [np.abs(one[:, place] - store.inclinations[rows]) for one in answers]
        test = sign_flip(losses[0] - losses[1], SAMPLES, np.random.default_rng([seed, 1]))
        return _scored("mae", losses, groups, seed) | {"p": test}
    truth, k = store.labels[rows], len(store.classes)
    said = [one.argmax(1) for one in answers]
    right = [one == truth for one in said]
    f1 = [float(macro_f1(confusion_matrix(truth, one, k))) for one in said]
    return {
        **_scored("accuracy", [1.0 - one for one in right], groups, seed),
        "p": mcnemar(*right),
        "macro_f1": {"before": f1[0], "after": f1[1]},
    }


def _scored(score: str, losses: list[Floats], groups: Integers, seed: int) -> dict[str, Any]:
    """Scores of both, and the gain: the mean of what each galaxy loses less."""
    saved = (losses[0] - losses[1]).astype(np.float64)
    units = unit_sums(np.column_stack([saved, np.ones(len(saved))]), groups)
    drawn = resample(units, SAMPLES, np.random.default_rng([seed, 0]))
    gain = interval(float(saved.mean()), drawn[:, 0] / drawn[:, 1], len(saved), CONFIDENCE)
    means = [float(one.mean()) for one in losses]
    before, after = ([1 - mean for mean in means]) if score == "accuracy" else means
    return {
        "n": len(saved),
        "score": score,
        "before": before,
        "after": after,
        "gain": gain.as_dict(),
    }


def _told(part: Mapping[str, Any], name: str) -> str:
    if not part["n"]:
        return f"There are no {name} test galaxies."
    gain = part["gain"]
    task = "inclination" if part["score"] == "mae" else "classes"
    title = "mean absolute error" if part["score"] == "mae" else "accuracy"
    return (
        f"On {part['n']:,} {name} test galaxies the {title} goes from {_score(part, 'before')} to "
        f"{_score(part, 'after')}: a gain of {_amount(gain['value'], task)} "
        f"({_amount(gain['low'], task)} to {_amount(gain['high'], task)}; p = {part['p']:.2g})."
    )


def _score(part: Mapping[str, Any], key: str) -> str:
    return f"{part[key]:.2f}°" if part["score"] == "mae" else f"{part[key]:.3f}"


def _amount(value: float, task: str) -> str:
    text = f"{value:.2f}°" if task == "inclination" else f"{value * 100:.1f} points"
    return text.replace("-", "−")
