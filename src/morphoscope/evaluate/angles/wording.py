"""Numbers and sentences of a report on inclinations."""

from __future__ import annotations

from typing import Any

from morphoscope.evaluate.wording import NO_WIDTH, THIN, percent, span

__all__ = [
    "advantage",
    "cautions",
    "degrees",
    "degrees_span",
    "headline",
    "intervals_in_words",
    "outside_cautions",
    "outside_headline",
    "rejection_in_words",
    "scored",
]

Metrics = dict[str, Any]
MINUS = "−"
FEW = 100
CLOSE = 0.02
PARTS_IN_WORDS = ("low", "middle", "high")


def degrees(value: float, digits: int = 1) -> str:
    """Angle: ``4.2°``."""
    return f"{value:.{digits}f}°".replace("-", MINUS)


def degrees_span(score: dict[str, Any], digits: int = 1) -> str:
    """Interval of an angle: ``3.9–4.6°``."""
    if score["high"] - score["low"] < NO_WIDTH:
        return "interval not known"
    low, high = f"{score['low']:.{digits}f}", f"{score['high']:.{digits}f}"
    # A dash between two minus signs would be hard to read.
    return f"{low} to {high}°".replace("-", MINUS) if score["low"] < 0 else f"{low}–{high}°"


def scored(score: dict[str, Any]) -> str:
    """Angle with its interval: ``4.2° (3.9–4.6°)``."""
    return f"{degrees(score['value'])} ({degrees_span(score)})"


def headline(metrics: Metrics) -> list[str]:
    """Say in a few sentences how near the answers come, and how they compare."""
    part = "headline" if metrics["headline"] else "all"
    scores = metrics["headline"] or metrics["scores"]
    whose = f" with {metrics['headline_rule']}" if part == "headline" else ""
    error, rms = scores["mae"], scores["rms"]
    sentences = [
        f"On {error['n']:,} discs it had never seen{whose}, the model’s inclination is off by "
        f"{scored(error)} on average; the r.m.s. error is {scored(rms)}."
    ]
    others = metrics["others"][part]
    formula = others.get("formula")
    if formula:
        sentences.append(advantage(formula, "the ellipse formula", metrics["formula"]["q0"]))
    if others.get("constant"):
        guess = others["constant"]["other"]["mae"]["value"]
        sentences.append(
            f"Always answering {degrees(metrics['constant']['value'], 0)} would be off by "
            f"{degrees(guess)}."
        )
    held = metrics["scores"]["coverage_68"]
    sentences.append(
        f"Its 68{THIN}% intervals hold the truth for {percent(held['value'])} "
        f"({span(held, as_percent=True)}) of all {held['n']:,} test discs."
    )
    return sentences


def advantage(comparison: dict[str, Any], name: str, q0: float | None = None) -> str:
    """Say which of two ways is nearer, if that can be told."""
    apart, ratio = comparison["difference"]["mae"], comparison["ratio"].get("mae")
    own, other = (comparison[key]["mae"]["value"] for key in ("network", "other"))
    kind = f" (q0 = {q0:.2f})" if q0 is not None else ""
    what = f"{name[0].upper()}{name[1:]}{kind} is off by {degrees(other)} on the same "
    what += f"{comparison['n']:,} galaxies, the model by {degrees(own)}: "
    if apart["high"] < 0 and ratio:
        return what + (
            f"the model’s error is {ratio['value']:.2f} ({span_of_ratio(ratio)}) times as large."
        )
    if apart["low"] > 0 and ratio:
        return what + (
            f"the model is worse, its error {ratio['value']:.2f} ({span_of_ratio(ratio)}) times as "
            "large."
        )
    return what + (f"no clear difference ({degrees(apart['value'])}, {degrees_span(apart)}).")


def span_of_ratio(ratio: dict[str, Any]) -> str:
    """Interval of a ratio of errors: ``0.41–0.52``."""
    return f"{ratio['low']:.2f}–{ratio['high']:.2f}"


def intervals_in_words(metrics: Metrics) -> list[str]:
    """Say what the intervals were made from, and where they hold."""
    found = metrics["intervals"]
    first = found["coverages"][0]
    if first["kind"] == "one":
        made = (
            f"The half-widths were scaled on {found['n']:,} validation discs of known inclination. "
            "These are too few to tell low from high inclinations: one factor serves all, and "
            "the coverage holds for all together only."
        )
    else:
        made = (
            f"The half-widths were scaled on {found['n']:,} validation discs of known inclination, "
            f"separately below and above, in windows of {first['window']:,} galaxies that are "
            "neighbours in predicted inclination."
        )
    off = [
        f"{PARTS_IN_WORDS[round(entry['low'] / 30)]} ({entry['low']:.0f}–{entry['high']:.0f}°) "
        f"{percent(entry['coverage_68']['value'])} "
        f"({span(entry['coverage_68'], as_percent=True)}, n = {entry['coverage_68']['n']:,})"
        for entry in metrics["thirds"]["predicted"]
    ]
    held = f"On test the 68{THIN}% intervals hold, by predicted inclination: {'; '.join(off)}."
    return [made, held]


def rejection_in_words(metrics: Metrics) -> list[str]:
    """Say what the rule is and what it does."""
    reject = metrics["reject"]
    sentences = [
        f"An image is rejected where its probability of being “{metrics['classes'][0]}” is below "
        f"{reject['threshold']:.3f}. That threshold was chosen on validation so that "
        f"{percent(reject['asked'], 0)} of the discs stay; on test "
        f"{percent(reject['kept']['value'])} ({span(reject['kept'], as_percent=True)}, "
        f"n = {reject['kept']['n']:,}) do."
    ]
    if reject["rejected"]:
        told = [
            f"“{name}” {percent(score['value'])} (n = {score['n']:,})"
            for name, score in reject["rejected"].items()
        ]
        sentences.append(f"Of what is no disc it rejects: {', '.join(told)}.")
    else:
        sentences.append(
            "No test image is anything else than a disc: nothing is known of the rest."
        )
    for origin, found in reject["by_origin"].items():
        shares = [
            f"{percent(score['value'])} of “{name}” ({span(score, as_percent=True)}, "
            f"n = {score['n']:,})"
            for name, score in found.items()
        ]
        sentences.append(f"Of the images of {origin} it rejects {', '.join(shares)}.")
    return sentences


def cautions(metrics: Metrics) -> list[str]:
    """Warn of what the numbers do not say."""
    found = []
    n = metrics["n_test"]
    if n < FEW:
        found.append(f"Only {n} test discs have a known inclination: every score here is rough.")
    if metrics["intervals"]["coverages"][0]["kind"] == "one":
        found.append(
            f"Only {metrics['intervals']['n']} validation discs have a known inclination: the "
            "intervals hold on average over all inclinations, not at each."
        )
    for entry in metrics["thirds"]["predicted"]:
        score = entry["coverage_68"]
        if not score["low"] <= 0.68 <= score["high"] and abs(score["value"] - 0.68) > CLOSE:
            manner = "too narrow" if score["value"] < 0.68 else "too wide"
            found.append(
                f"At predicted inclinations of {entry['low']:.0f}–{entry['high']:.0f}° the "
                f"68{THIN}% intervals are {manner}: {percent(score['value'])} hold the truth."
            )
    found += [
        "The intervals are made for galaxies drawn like those of validation. On another survey, "
        "another pixel scale, seeing or depth, or another mix of inclinations, no interval can be "
        "trusted before “morphoscope judge” has checked some of them against known inclinations.",
        "Near 0 and 90° an interval is cut at the bound: the answer is seldom the middle of it.",
        "A coverage that holds at a predicted inclination need not hold at a true one: galaxies at "
        "the ends are pulled inwards by the error itself. Both are shown.",
    ]
    return found


def outside_headline(metrics: Metrics) -> list[str]:
    """Say how near the answers come to inclinations that people measured."""
    scores, held = metrics["scores"], metrics["scores"]["coverage_68"]
    sentences = [
        f"On {metrics['n']:,} galaxies of known inclination the r.m.s. error is "
        f"{scored(scores['rms'])}, the mean absolute error {scored(scores['mae'])}."
    ]
    sentences += [advantage(way, f"the {way['title']}") for way in metrics["ways"][:1]]
    sentences.append(
        f"The 68{THIN}% intervals hold {round(held['value'] * held['n'])} of {held['n']} "
        f"({span(held, as_percent=True)})."
    )
    return sentences


def outside_cautions(metrics: Metrics) -> list[str]:
    """Warn of what a comparison with known inclinations does not say."""
    found = []
    if metrics["n"] < FEW:
        found.append(
            f"{metrics['n']} galaxies are few: an r.m.s. error of that many is known to about "
            f"{percent((2 * metrics['n']) ** -0.5, 0)} at best, and one wrong value weighs heavily."
        )
    bias = metrics["scores"]["bias"]
    if not bias["low"] <= 0 <= bias["high"]:
        found.append(f"The answers lean to one side: the bias is {scored(bias)}.")
    held = metrics["scores"]["coverage_68"]
    if not held["low"] <= 0.68 <= held["high"]:
        manner = "too narrow" if held["value"] < 0.68 else "too wide"
        found.append(f"The 68{THIN}% intervals are {manner} for these galaxies.")
    if metrics["unanswered"]:
        told = ", ".join(f"{n} ({reason})" for reason, n in metrics["unanswered"].items())
        found.append(f"Galaxies of known inclination without an answer: {told}.")
    found.append(
        "Known inclinations have errors of their own, which add to the errors here and lower the "
        "share that the intervals hold."
    )
    return found
