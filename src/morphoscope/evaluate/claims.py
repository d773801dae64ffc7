"""The conclusion of a comparison: sentences that follow from its tests, and none stronger."""

from __future__ import annotations

from typing import Any

from morphoscope.evaluate.compare import HIGHER_IS_BETTER

__all__ = ["conclude", "in_words", "name_of", "oriented", "p_in_words"]

Results = dict[str, Any]
Pair = dict[str, Any]
NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "log_loss": "log loss",
}
SMALLEST_P = 0.001
# So many pairs without a claim are named; a table holds them all.
MOST_NAMED = 6


def conclude(results: Results) -> list[str]:
    """Say what the tests of a comparison allow to be said.

    A pair differs where its p-value after Holm's correction is below 1 − confidence. Otherwise
    the sentence gives the range in which the difference lies, and never that there is none.

    Parameters
    ----------
    results
        What `compare` returned.

    Returns
    -------
    list of str
        The claims about the score that was chosen beforehand, what is not settled, what limits
        both, and the claims about a second score.
    """
    score = results["score"]
    second = "macro_f1" if score != "macro_f1" else "accuracy"
    sentences = [
        *_claims(results, score),
        *_unsettled(results, score),
        *_class_in_question(results),
        *_left_out(results),
        *_same_answers(results),
        *_limits(results),
    ]
    return [*sentences, *_second(results, second)]


def name_of(score: str, results: Results) -> str:
    """A score in words."""
    return f"F1 of {results['of_class']}" if score == "class_f1" else NAMES[score]


def _class_in_question(results: Results) -> list[str]:
    """On how many images a claim about one class rests."""
    name = results["of_class"]
    if not name:
        return []
    n = results["support"][results["classes"].index(name)]
    sentence = f"Of the test images {n:,} {'is' if n == 1 else 'are'} {name}."
    if not any(one["scores"]["class_f1"]["value"] for one in results["variants"]):
        sentence += " No variant finds one."
    return [sentence]


def _left_out(results: Results) -> list[str]:
    """What was asked for and is not in the comparison."""
    failed = list(results.get("failed", ()))
    if not failed:
        return []
    sentence = f"Left out: {', '.join(failed)}."
    if results["planned_lost"]:
        sentence += " With that all planned pairs are gone; all pairs of the rest are tested."
    return [sentence]


def in_words(pair: Pair, score: str) -> tuple[str, str, str]:
    """Difference, interval, and interval held together with all pairs', the first's gain positive.

    Examples
    --------
    >>> values = dict(value=0.0123, low=0.003, high=0.021, low_all=-0.0041, high_all=0.0257)
    >>> in_words({"scores": {"accuracy": values}}, "accuracy")
    ('1.2', '0.3 to 2.1', '−0.4 to 2.6')
    """
    found = oriented(pair, score)
    value, low, high, low_all, high_all = (_amount(amount, score) for amount in found.values())
    return value, f"{low} to {high}", f"{low_all} to {high_all}"


def p_in_words(p_value: float) -> str:
    """P-value: ``p = 0.012``, ``p < 0.001``; near 0.05 with a digit more.

    Examples
    --------
    >>> p_in_words(0.04991)
    'p = 0.0499'
    """
    if p_value < SMALLEST_P:
        return f"p < {SMALLEST_P}"
    return f"p = {p_value:.4f}" if f"{p_value:.3f}" == "0.050" else f"p = {p_value:.3f}"


def oriented(pair: Pair, score: str) -> dict[str, float]:
    """By how much the first of a pair is better, with intervals."""
    found = pair["scores"][score]
    keys = ("value", "low", "high", "low_all", "high_all")
    if score in HIGHER_IS_BETTER:
        return {key: found[key] for key in keys}
    turned = ("value", "high", "low", "high_all", "low_all")
    return {key: -found[other] for key, other in zip(keys, turned, strict=True)}


def _amount(value: float, score: str) -> str:
    """Points of a share, or a loss; a bound that is not zero does not look like it."""
    scaled, digits = (value * 100, 1) if score in HIGHER_IS_BETTER else (value, 3)
    scaled = round(scaled, 9)
    while scaled and digits < 4 and float(f"{scaled:.{digits}f}") == 0:
        digits += 1
    shown = f"{scaled:.{digits}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown.replace("-", "−")


def _unit(score: str, results: Results) -> str:
    return ("points of " if score in HIGHER_IS_BETTER else "of ") + name_of(score, results)


def _differs(pair: Pair, results: Results, score: str) -> bool:
    return bool(pair["scores"][score]["p_holm"] < 1 - results["confidence"])


def _claims(results: Results, score: str) -> list[str]:
    """One sentence a variant that is better than others."""
    won: dict[str, list[str]] = {}
    for pair in results["pairs"]:
        if not _differs(pair, results, score):
            continue
        gain = oriented(pair, score)
        winner, loser = pair["first"], pair["second"]
        value, low, high = gain["value"], gain["low"], gain["high"]
        if value < 0:
            winner, loser, value, low, high = loser, winner, -value, -high, -low
        unit = "" if winner in won else f" {_unit(score, results)}"
        amounts = [_amount(each, score) for each in (value, low, high)]
        p_value = p_in_words(pair["scores"][score]["p_holm"])
        won.setdefault(winner, []).append(
            f"{_who(loser, results)} by {amounts[0]}{unit} ({amounts[1]}–{amounts[2]}"
            f"{_alone(results)}; {p_value}{_after(results)})"
        )
    return [_sentence(f"{_who(one, results)} beats {_listed(lost)}.") for one, lost in won.items()]


def _sentence(words: str) -> str:
    return words.replace("the model", "The model", 1) if words.startswith("the model") else words


def _alone(results: Results) -> str:
    """Of how many pairs an interval holds, where others beside it hold for all together."""
    share = f"{results['confidence'] * 100:g}\u202f%"
    return f", {share} for this pair" if len(results["pairs"]) > 1 else ""


def _after(results: Results) -> str:
    return " after Holm" if len(results["pairs"]) > 1 else ""


def _who(name: str, results: Results) -> str:
    several = results["seeds"] > 1 or results["folds"]
    return name if several else f"the model of {name}"


def _unsettled(results: Results, score: str) -> list[str]:
    """What no difference can be claimed of, and within which bounds it lies."""
    pairs = [p for p in results["pairs"] if not _differs(p, results, score) and _moved(p, score)]
    if score in HIGHER_IS_BETTER:
        pairs = [p for p in pairs if not p["same_answers"]]
    if not pairs:
        return []
    cannot = f"no difference can be claimed with {_extent(results)}"
    held = " together" if len(results["pairs"]) > 1 else ""
    share = f"{results['confidence'] * 100:g}\u202f% confidence{held}"
    ranges = []
    for pair in pairs[:MOST_NAMED]:
        gain = oriented(pair, score)
        low, high = (_amount(gain[key], score) for key in ("low_all", "high_all"))
        ranges.append((pair, low, high))
    if len(pairs) == 1:
        pair, low, high = ranges[0]
        return [
            f"Between {_who(pair['first'], results)} and {_who(pair['second'], results)} {cannot}: "
            f"the gain of the first lies between {low} and {high} {_unit(score, results)} "
            f"({share})."
        ]
    named = "; ".join(f"{p['first']} over {p['second']} {low} to {high}" for p, low, high in ranges)
    more = f"; and {len(pairs) - MOST_NAMED} more pairs" if len(pairs) > MOST_NAMED else ""
    variants = len(results["variants"])
    every = len(pairs) == variants * (variants - 1) // 2
    which = "Between any two" if every else "Within each of these pairs"
    return [
        f"{which} {cannot}; the gain, in {_unit(score, results).removeprefix('of ')}, lies within "
        f"({share}): {named}{more}."
    ]


def _moved(pair: Pair, score: str) -> bool:
    """Whether the two differ at all."""
    return any(pair["scores"][score][key] for key in ("value", "low", "high"))


def _extent(results: Results) -> str:
    seeds = results["seeds"]
    trainings = f"{seeds} trainings each" if seeds > 1 else "one training each"
    if results["folds"]:
        trainings += f" in {results['folds']} folds"
    return f"n = {results['n_test']:,} test images and {trainings}"


def _same_answers(results: Results) -> list[str]:
    same = [f"{p['first']} and {p['second']}" for p in results["pairs"] if p["same_answers"]]
    if not same:
        return []
    return [
        f"{'; '.join(same)} gave the same answer to every image: no score of answers tells them "
        "apart."
    ]


def _limits(results: Results) -> list[str]:
    if results["folds"]:
        few = "A difference of {} folds has {}: intervals are wide for that, and a difference that "
        few += "is not claimed may well be there."
        freedom = {2: "one degree of freedom", 3: "two degrees of freedom"}
        k = results["folds"]
        return [few.format(k, freedom[k])] if k in freedom else []
    if results["seeds"] == 1:
        count = len(results["variants"])
        return [
            f"One training each: no claim about networks or settings, only about these {count} "
            "models. Another seed may turn the order round."
        ]
    if results["seeds"] == 2:
        return [
            "Two trainings each say little of how much trainings differ: intervals are wide for "
            "that, and a difference that is not claimed may well be there."
        ]
    return []


def _second(results: Results, score: str) -> list[str]:
    """Claims about another score, with a correction of their own."""
    claims = _claims(results, score)
    if claims:
        return [f"By {name_of(score, results)}, tested apart: {' '.join(claims)}"]
    return [f"By {name_of(score, results)}, tested apart, no difference can be claimed."]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
