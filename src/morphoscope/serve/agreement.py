"""What several models say together, and when they disagree so much that a person should look.

Each model's limits are those it was calibrated for: a set of classes that holds the truth for 90 %
of the images, an interval that holds the inclination for 90 % of the discs. Two models disagree
beyond them where the sets, or the intervals, have nothing in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from morphoscope.inclination import inclination

__all__ = ["alarms_of", "combine", "kind_of_class"]

Answer = dict[str, Any]

# What classes of different models have in common.
KINDS = {
    "disc": ("spiral", "disc", "disk", "edge_on", "edge-on", "barred"),
    "smooth": ("elliptical", "not_disc", "smooth", "round", "in_between", "cigar"),
    "disturbed": ("merger", "merging", "disturbed", "irregular"),
    "not_galaxy": ("not_galaxy", "star", "artifact", "artefact", "bad_image"),
}
# A class without a set, or of an image that a model rejects, counts from this probability on.
LIKELY = 0.1
EDGE_ON_FROM = 60.0
# The formula's own limits: thickness of discs, and the error of a measured axial ratio.
THICKNESSES = (0.1, 0.3)
RATIO_ERROR = 0.08


def kind_of_class(name: str) -> str:
    """Kind of a class by its name; empty where it is not known.

    Examples
    --------
    >>> kind_of_class("Barred Spiral"), kind_of_class("not_disc"), kind_of_class("7")
    ('disc', 'smooth', '')
    """
    plain = name.strip().lower().replace(" ", "_")
    for kind, words in KINDS.items():
        if plain in words:
            return kind
    return next((kind for kind, words in KINDS.items() if any(word in plain for word in words)), "")


def combine(answers: Sequence[Answer]) -> dict[str, Any]:
    """Join answers of models of one kind.

    Parameters
    ----------
    answers
        As in the API; those without an answer have neither class nor inclination.

    Returns
    -------
    dict
        ``class``: mean probabilities of the models with the most widely shared classes, and the
        union of their sets. ``inclination``: mean value and mean ends of the intervals of the
        models that do not reject (quantiles averaged: Lichtendahl, Grushka-Cockayne & Winkler
        2013, Management Science 59, 1594). None where no model has an answer.
    """
    return {"class": _joint_class(answers), "inclination": _joint_inclination(answers)}


def _joint_class(answers: Sequence[Answer]) -> dict[str, Any] | None:
    said = [one for one in answers if one["task"] == "classes" and one["class"] is not None]
    if not said:
        return None
    groups: dict[tuple[str, ...], list[Answer]] = {}
    for one in said:
        groups.setdefault(tuple(sorted(one["probabilities"])), []).append(one)
    group = max(groups.values(), key=len)
    names = list(group[0]["probabilities"])
    mean = {name: math.fsum(a["probabilities"][name] for a in group) / len(group) for name in names}
    best = max(names, key=lambda name: mean[name])
    union = {name for one in group for name in one["set"] or [one["class"]]} | {best}
    return {
        "class": best,
        "probability": mean[best],
        "set": sorted(union, key=lambda name: -mean[name]),
        "models": [one["model"] for one in group],
    }


def _joint_inclination(answers: Sequence[Answer]) -> dict[str, Any] | None:
    said = [one for one in answers if _measures(one)]
    if not said:
        return None

    def mean(key: str) -> float:
        return math.fsum(one[key] for one in said) / len(said)

    return {
        "inclination": mean("inclination"),
        "low": mean("inclination_low"),
        "high": mean("inclination_high"),
        "coverage": 0.68,
        "models": [one["model"] for one in said],
    }


def alarms_of(answers: Sequence[Answer], shape: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Disagreements beyond the calibrated limits.

    Parameters
    ----------
    answers
        As in the API.
    shape
        ``axial_ratio`` as measured; None where it was not.

    Returns
    -------
    list
        Each with ``kind``, ``models`` and ``text``; empty where all agree.
    """
    found = []
    for one, other in combinations(answers, 2):
        for check in (_classes, _inclinations, _kinds, _edge_on):
            text = check(one, other)
            if text:
                kind = "classes_disagree" if check is _classes else "kinds_disagree"
                kind = "inclinations_disagree" if check in (_inclinations, _edge_on) else kind
                models = [one["model"], other["model"]]
                found.append({"kind": kind, "models": models, "text": text})
    return found + [alarm for one in answers for alarm in _formula(one, shape)]


def _measures(one: Answer) -> bool:
    return one["task"] == "inclination" and one["inclination"] is not None and not one["reject"]


def _classes(one: Answer, other: Answer) -> str:
    same = set(one["probabilities"]) == set(other["probabilities"])
    if one["task"] != "classes" or other["task"] != "classes" or not same:
        return ""
    mine, theirs = _set_of(one), _set_of(other)
    if not mine or not theirs or mine & theirs:
        return ""
    return (
        f"{one['model']} takes it for {_listed(mine)}, {other['model']} for {_listed(theirs)}: "
        "no class is possible for both"
    )


def _inclinations(one: Answer, other: Answer) -> str:
    if not _measures(one) or not _measures(other) or _meet(_interval(one), _interval(other)):
        return ""
    return (
        f"{one['model']} says {_degrees(one)}, {other['model']} {_degrees(other)}: "
        "their 90 % intervals do not meet"
    )


def _kinds(one: Answer, other: Answer) -> str:
    same = set(one["probabilities"]) == set(other["probabilities"])
    mine, theirs = _kinds_of(one), _kinds_of(other)
    if same or not mine or not theirs or "" in mine | theirs or mine & theirs:
        return ""
    return (
        f"{one['model']} takes it for {_listed(_set_of(one))}, "
        f"{other['model']} for {_listed(_set_of(other))}"
    )


def _edge_on(one: Answer, other: Answer) -> str:
    for classes, angle in ((one, other), (other, one)):
        if classes["task"] != "classes" or not _measures(angle):
            continue
        names = {name.lower().replace("-", "_") for name in _set_of(classes)}
        if names == {"edge_on"} and angle["inclination_high_90"] < EDGE_ON_FROM:
            return f"{classes['model']} sees it edge-on, {angle['model']} says {_degrees(angle)}"
    return ""


def _formula(one: Answer, shape: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Where no usual disc of the measured axial ratio has an inclination that the model allows."""
    if not _measures(one) or not shape or shape["axial_ratio"] is None or shape["flags"]:
        return []
    q = shape["axial_ratio"]
    thin, thick = THICKNESSES
    low = float(inclination(min(q + RATIO_ERROR, 1.0), thin))
    high = float(inclination(max(q - RATIO_ERROR, 0.0), thick))
    if _meet((low, high), _interval(one)):
        return []
    text = (
        f"{one['model']} says {_degrees(one)}, but a disc of the measured axial ratio {q:.2f} "
        f"would have {low:.0f}–{high:.0f}°: a bar, a bulge, a neighbour or an error of either"
    )
    return [{"kind": "formula_disagrees", "models": [one["model"]], "text": text}]


def _set_of(one: Answer) -> set[str]:
    """Classes that a model holds possible."""
    if one["class"] is None:
        return set()
    if one["task"] == "classes" and one["set"]:
        return set(one["set"])
    if one["task"] == "inclination" and not one["reject"]:
        # It gives an inclination, which is of a disc only (docs/results.md: what that is worth).
        return {next(iter(one["probabilities"]))}
    likely = {name for name, value in one["probabilities"].items() if value >= LIKELY}
    return likely | {one["class"]}


def _kinds_of(one: Answer) -> set[str]:
    return {kind_of_class(name) for name in _set_of(one)}


def _interval(one: Answer) -> tuple[float, float]:
    return one["inclination_low_90"], one["inclination_high_90"]


def _meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _degrees(one: Answer) -> str:
    low, high = _interval(one)
    return f"{one['inclination']:.0f}° ({low:.0f}–{high:.0f}°)"


def _listed(names: set[str]) -> str:
    return " or ".join(sorted(name.replace("_", " ") for name in names))
