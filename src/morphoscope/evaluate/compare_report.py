"""The report of a comparison: one self-contained page, the conclusion first."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from morphoscope.evaluate.claims import in_words, name_of, oriented, p_in_words
from morphoscope.evaluate.compare import HIGHER_IS_BETTER
from morphoscope.evaluate.compare_figures import cost_plot, difference_plot, score_plot
from morphoscope.evaluate.report import environment
from morphoscope.recipe import Recipe

__all__ = ["render_comparison"]

COSTS = (
    ("flops", 1e6, "million operations an image"),
    ("parameters", 1e6, "million parameters"),
)


def render_comparison(recipe: Recipe, results: dict[str, Any]) -> str:
    """Write the page of a comparison.

    Parameters
    ----------
    recipe
        The recipe that the variants change.
    results
        The content of ``compare.json``.

    Returns
    -------
    str
        HTML with inline style and drawings; it loads nothing.
    """
    score = results["score"]
    names = sorted(results["variants"][0]["scores"], key=lambda name: name != score)
    sign = -1 if score in HIGHER_IS_BETTER else 1
    ranked = sorted(results["variants"], key=lambda one: sign * one["scores"][score]["value"])
    return (
        environment()
        .get_template("compare.html")
        .render(
            recipe=recipe,
            results=results,
            ranked=ranked,
            best={name: _best(results["variants"], name) for name in names},
            scores=[(name, _title(name, results), name != "log_loss") for name in names],
            score_title=_title(score, results),
            pairs=[_pair(pair, results) for pair in results["pairs"]],
            plots=_plots(results, ranked, score),
            recipe_json=json.dumps(recipe.model_dump(), indent=2, ensure_ascii=False),
        )
    )


def _best(variants: list[dict[str, Any]], score: str) -> float:
    values = [float(one["scores"][score]["value"]) for one in variants]
    return max(values) if score in HIGHER_IS_BETTER else min(values)


def _title(score: str, results: dict[str, Any]) -> str:
    return "calibration error" if score == "ece" else name_of(score, results)


def _pair(pair: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    score = results["score"]
    value, interval, together = in_words(pair, score)
    found = pair["scores"][score]
    return {
        **pair,
        "value": value,
        "interval": interval,
        "together": together,
        "p": p_in_words(found["p"]).removeprefix("p = "),
        "p_holm": p_in_words(found["p_holm"]).removeprefix("p = "),
        "flip": p_in_words(pair["sign_flip"]).removeprefix("p = "),
        "each": [p_in_words(p).removeprefix("p = ") for p in pair["mcnemar"]],
        "others": {
            _title(name, results): (
                in_words(pair, name)[0],
                p_in_words(tested["p_holm"]),
            )
            for name, tested in pair["scores"].items()
            if name != score
        },
    }


def _plots(results: dict[str, Any], ranked: list[dict[str, Any]], score: str) -> dict[str, Any]:
    unit = 100.0 if score in HIGHER_IS_BETTER else 1.0
    title = _title(score, results)
    label = f"{title}{' (%)' if unit == 100 else ''}"
    gain = f"gain in {title}{' (points)' if unit == 100 else ''}"
    pairs = [(f"{p['first']} over {p['second']}", oriented(p, score)) for p in results["pairs"]]
    speeds = [
        (one["name"], 1000 / one["cost"]["images_per_s"]["cpu"], one["scores"][score])
        for one in ranked
    ]
    costs = [
        cost_plot(
            [(o["name"], o["cost"][key] / per, o["scores"][score]) for o in ranked], x, label, unit
        )
        for key, per, x in COSTS
    ]
    costs.insert(1, cost_plot(speeds, "milliseconds an image, CPU", label, unit))
    return {
        "scores": Markup(
            score_plot([(o["name"], o["scores"][score]) for o in ranked], label, unit)
        ),
        "pairs": Markup(difference_plot(pairs, gain, unit)),
        "costs": [Markup(one) for one in costs],
    }
