"""The parts of a model card that are of inclinations."""

from __future__ import annotations

from typing import Any

__all__ = ["angle_head", "angle_limits", "angle_scores"]

SHOWN = {
    "mae": "mean absolute error",
    "rms": "r.m.s. error",
    "median": "median absolute error",
    "bias": "bias (answer minus truth)",
    "width_68": "mean width of the 68 % intervals",
}
COVERED = {"coverage_68": "held by the 68 % interval", "coverage_90": "held by the 90 % interval"}
THIRDS = {"predicted": "answered", "true": "true"}


def angle_head(scores: dict[str, Any], classes: list[str]) -> list[str]:
    """What the model answers, and how near it comes."""
    error = (scores["headline"] or scores["scores"])["mae"]
    rule = f" with {scores['headline_rule']}" if scores["headline"] else ""
    lines = [
        "- **It answers** with an inclination (deg, 0 face-on, 90 edge-on), intervals that hold "
        "the true one for 68 % and 90 %, and what it would rather reject: "
        f"{', '.join(classes[1:])}.",
        f"- **It is off** by {_angle(error)} on average over {error['n']:,} test discs{rule} that "
        "it never saw.",
    ]
    formula = scores["others"]["headline" if scores["headline"] else "all"].get("formula")
    if formula:
        lines.append(
            f"- **The ellipse formula** (q0 = {scores['formula']['q0']:.2f}, fitted) is off by "
            f"{_angle(formula['other']['mae'])} on the same galaxies where it has an answer "
            f"({formula['n']:,})."
        )
    return lines


def angle_scores(scores: dict[str, Any]) -> list[str]:
    """Tables of the errors, the coverage and what is rejected."""
    confidence = f"{scores['interval']['confidence']:.0%}"
    reject = scores["reject"]
    lines = [
        "## How good it is",
        "",
        f"On {scores['n_test']:,} test discs of known inclination, small and large, face-on to "
        f"edge-on; in brackets {confidence} intervals ({scores['interval']['method']}).",
        "",
        "| score | value |",
        "| --- | ---: |",
        *(f"| {words} | {_angle(scores['scores'][key])} |" for key, words in SHOWN.items()),
        *(f"| {words} | {_share(scores['scores'][key])} |" for key, words in COVERED.items()),
        "",
        "Of the discs whose inclination is … the 68 % interval holds the true one for:",
        "",
        "| | n | held |",
        "| --- | ---: | ---: |",
    ]
    for key, words in THIRDS.items():
        for third in scores["thirds"].get(key, ()):
            held = third["coverage_68"]
            span = f"{third['low']:.0f}–{third['high']:.0f}°"
            lines.append(f"| {words} {span} | {held['n']:,} | {_share(held)} |")
    lines += [
        "",
        f"It keeps {_share(reject['kept'])} of the discs and rejects:",
        "",
        "| | n | rejected |",
        "| --- | ---: | ---: |",
    ]
    for name, share in reject["rejected"].items():
        lines.append(f"| {name} | {share['n']:,} | {_share(share)} |")
    return lines


def angle_limits() -> list[str]:
    """What such a model cannot do."""
    return [
        "- The inclinations that it learnt are those of simulated discs, round when seen face-on: "
        "what no such disc shows, as an oval disc, it takes for tilt.",
        "- Its intervals hold for galaxies like those of its test, as many of every inclination. "
        "On another survey compare it with galaxies of known inclination first "
        "(`morphoscope judge`).",
        "- Near face-on a tilt hardly shows: the errors are large there, as they are for anybody.",
        "- Where `reject` is set, the inclination is a number without meaning.",
    ]


def _angle(score: dict[str, Any]) -> str:
    return f"{score['value']:.2f}° ({score['low']:.2f}–{score['high']:.2f})"


def _share(score: dict[str, Any]) -> str:
    return f"{score['value']:.1%} ({score['low']:.1%}–{score['high']:.1%})"
