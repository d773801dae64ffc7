"""From measured drift and agreement to one of three verdicts, by rules that are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FIT", "LABEL", "NOT_FIT", "Verdict", "judge"]

Found = Mapping[str, Any]
FIT, LABEL, NOT_FIT = "fit for use", "label about {:,} more of these", "do not use"
# What a score may lose against the model card: twice the half-width of the interval that the card
# of the shipped classes has from its 848 test galaxies, and half of the mean absolute error that
# the shipped model of inclinations has.
TOLERATED = {"accuracy": 0.05, "mae": 2.0}
# A class of which so much less is found is not the class that the card speaks of.
TOLERATED_RECALL = 0.1
# Sets and intervals that hold the truth so much less often than they say mislead.
TOLERATED_COVERAGE = 0.05
# Beyond half, the model was made for other files than these.
MOSTLY = 0.5
# A catalogue of which a quarter has to be thrown away is none of the survey.
FOREIGN = 0.25
# Three times what is flagged by construction: more than the limit itself varies by chance.
MORE_THAN_EXPECTED = 3.0
# A mix of answers that differs by less is within what fields and depths of one survey do.
TOLERATED_DRIFT = 0.1
# Labels of a class that lets it be learnt anew and be judged to about 15 points.
LABELS_OF_CLASS = 50
# From so many sets or intervals of 90 % can be made anew.
LABELS_TO_CALIBRATE = 100


@dataclass(frozen=True)
class Verdict:
    """What is to be done, and why.

    Attributes
    ----------
    word
        One of the three verdicts.
    labels
        How many more labels are asked for; 0 where none are.
    reasons
        Sentences, those that decided first.
    """

    word: str
    labels: int
    reasons: list[str]


def judge(found: Found) -> Verdict:
    """Judge whether a model is fit for new images.

    Parameters
    ----------
    found
        ``unanswered`` (share with interval), ``inputs`` and ``answers`` (drift, see
        `drift_of_inputs` and `drift_of_answers`), ``agreement`` (or None) and ``labels_needed``
        (for the precision asked for, beyond those there).

    Notes
    -----
    In this order. *Do not use*: surely more than half of the images get no answer; or the labels
    show that the score is surely worse than promised by more than is tolerated; or the labels
    settle nothing and surely more than a quarter of the images are unlike those of training.
    *Fit*: the labels show that the score is surely not worse by more than is tolerated, no class
    is surely lost, and sets or intervals hold the truth about as often as they say. Else *label*:
    without labels nothing shows that a model is right. "Surely" is the bound of an interval.
    """
    refused = _refused(found)
    drifted = [*_inputs_told(found), *_answers_told(found)]
    if refused:
        return Verdict(NOT_FIT, 0, [*refused, *drifted])
    doubts = _doubts(found)
    shown = _labels_told(found)
    if not doubts:
        return Verdict(FIT, 0, [*shown, *drifted])
    number = _labels_asked(found)
    return Verdict(LABEL.format(number), number, [*doubts, *shown, *drifted])


def _refused(found: Found) -> list[str]:
    reasons = []
    unanswered, name, gap = found["unanswered"], _score_name(found), _gap(found)
    if unanswered["low"] > MOSTLY:
        reasons.append(
            f"{_share(unanswered)} of the images get no answer ({_flags(found)}): the model was "
            "made for other files."
        )
    if gap and _loss(gap, name, "best") > TOLERATED[name]:
        reasons.append(
            f"On {gap['n']:,} labelled images the {_title(name)} is {_compared(found, name)}: "
            f"worse by more than the {_amount(TOLERATED[name], name)} that are tolerated."
        )
    inputs = found["inputs"]
    if inputs and inputs["unlike"]["low"] > FOREIGN and not _shown_good(found):
        reasons.append("Too many images are unlike all that the model was trained on.")
    return reasons


def _doubts(found: Found) -> list[str]:
    """What stands between the model and use."""
    gap, name = _gap(found), _score_name(found)
    if gap is None:
        return [
            "There are no labels of these images, and nothing else shows that a model is right."
        ]
    if not _shown_good(found):
        return [
            f"{gap['n']:,} labels leave open whether the {_title(name)} is as good as promised: it "
            f"is {_compared(found, name)}, a difference between {_signed(gap['low'], name)} and "
            f"{_signed(gap['high'], name)}."
        ]
    return [*_lost_told(found), *_coverage_told(found)]


def _labels_told(found: Found) -> list[str]:
    gap, name = _gap(found), _score_name(found)
    if gap is None or not _shown_good(found):
        return []
    return [
        f"On {gap['n']:,} labelled images the {_title(name)} is {_compared(found, name)}: not "
        f"worse by more than the {_amount(TOLERATED[name], name)} that are tolerated."
    ]


def _lost_classes(found: Found) -> dict[str, Any]:
    recalls = found["agreement"]["recalls"] if found["agreement"] else {}
    return {
        name: one
        for name, one in recalls.items()
        if one["gap"] and one["gap"]["high"] < -TOLERATED_RECALL
    }


def _lost_told(found: Found) -> list[str]:
    return [
        f"Of {one['new']['n']:,} labelled {name} it finds {_share(one['new'])}, and "
        f"{_share(one['promised'])} in its own test: do not rely on this class here."
        for name, one in _lost_classes(found).items()
    ]


def _coverage_told(found: Found) -> list[str]:
    told = []
    for name, one in found["agreement"]["scores"].items():
        if not name.startswith("coverage") or not one["promised"]:
            continue
        if one["new"]["high"] < one["promised"]["value"] - TOLERATED_COVERAGE:
            what = "sets" if name == "coverage" else f"{name.rpartition('_')[2]} % intervals"
            told.append(
                f"Its {what} hold the truth in {_share(one['new'])} of the labelled images, where "
                f"{one['promised']['value']:.0%} is promised."
            )
    return told


def _labels_asked(found: Found) -> int:
    needed = found["labels_needed"]
    if not found["agreement"]:
        return int(needed)
    calibrate = LABELS_TO_CALIBRATE if _coverage_told(found) else 0
    return int(max(needed, LABELS_OF_CLASS * len(_lost_classes(found)), calibrate))


def _inputs_told(found: Found) -> list[str]:
    inputs = found["inputs"]
    if not inputs and found["unanswered"]["value"] == 1:
        return []
    if not inputs:
        return ["The model does not know how its training images looked, so nothing is said of it."]
    share, expected = inputs["unlike"], inputs["expected"]
    if share["low"] <= MORE_THAN_EXPECTED * expected:
        told = [
            f"{_share(share)} of {share['n']:,} images are unlike those of training; of images "
            f"like those it would be {expected:.0%}."
        ]
    else:
        told = [
            f"{_share(share)} of {share['n']:,} images are unlike those of training, where "
            f"{expected:.0%} is usual: do not use the answers about them."
        ]
    traits = "; ".join(trait["sentence"] for trait in inputs["traits"])
    return [*told, *([f"In what they differ most: {traits}."] if traits else [])]


def _answers_told(found: Found) -> list[str]:
    return [_drift_told(name, one) for name, one in found["answers"].items() if _drifted(one)]


def _drifted(one: Found) -> bool:
    return bool(one["low"] > TOLERATED_DRIFT)


def _drift_told(name: str, one: Found) -> str:
    if isinstance(one["new"], Mapping):
        moved = max(one["new"], key=lambda key: abs(one["new"][key] - one["test"][key]))
        return (
            f"The mix of answers is another than in its test, by {_share(one)} of the images, most "
            f"in {moved}: {one['new'][moved]:.0%} here, {one['test'][moved]:.0%} there. If the "
            "true mix is not as different, the answers are wrong; if it is, the probabilities "
            "hold for another mix."
        )
    unit = "" if name == "confidence" else "°"
    titles = {"confidence": "confidence", "inclination": "inclination", "width_68": "error bar"}
    return (
        f"The median {titles.get(name, name)} is {one['new']:.3g}{unit} here and "
        f"{one['test']:.3g}{unit} in its test ({one['measure']} {one['value']:.2f})."
    )


def _score_name(found: Found) -> str:
    return "mae" if found["task"] == "inclination" else "accuracy"


def _gap(found: Found) -> dict[str, Any] | None:
    if not found["agreement"]:
        return None
    gap: dict[str, Any] | None = found["agreement"]["scores"][_score_name(found)]["gap"]
    return gap


def _loss(gap: Found, name: str, case: str) -> float:
    """By how much the score is worse than promised, in the best or the worst case."""
    if name == "mae":
        return float(gap["low"] if case == "best" else gap["high"])
    return float(-(gap["high"] if case == "best" else gap["low"]))


def _shown_good(found: Found) -> bool:
    gap, name = _gap(found), _score_name(found)
    return gap is not None and _loss(gap, name, "worst") <= TOLERATED[name]


def _compared(found: Found, name: str) -> str:
    one = found["agreement"]["scores"][name]
    new, promise = one["new"], one["promised"]
    return (
        f"{_value(new, name)}, and {_value(promise, name)} on the {promise['n']:,} of its own test"
    )


def _value(one: Found, name: str) -> str:
    if name == "mae":
        return f"{one['value']:.1f}° ({one['low']:.1f}–{one['high']:.1f}°)"
    return f"{one['value']:.3f} ({one['low']:.3f}–{one['high']:.3f})"


def _share(one: Found) -> str:
    return f"{one['value']:.1%} ({one['low']:.1%}–{one['high']:.1%})"


def _amount(value: float, name: str) -> str:
    return f"{value:g}°" if name == "mae" else f"{value * 100:g} points"


def _signed(value: float, name: str) -> str:
    return f"{value:+.1f}°" if name == "mae" else f"{value * 100:+.1f} points"


def _title(name: str) -> str:
    return "mean absolute error" if name == "mae" else name


def _flags(found: Found) -> str:
    return ", ".join(f"{n:,} {flag}" for flag, n in found["flags"].items())
