"""The report of a model that measures inclinations: one self-contained page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from morphoscope.evaluate import wording as plain
from morphoscope.evaluate.angles import figures, wording
from morphoscope.evaluate.angles.bins import PROPERTIES
from morphoscope.evaluate.angles.sample import Measured
from morphoscope.evaluate.figures import curve_plot
from morphoscope.evaluate.report import environment
from morphoscope.provenance import StageRecord, versions
from morphoscope.recipe import Recipe

__all__ = ["PAGE", "AngleEvidence", "cards_of", "render_angles", "words"]

PAGE = Path(__file__).parent / "page"
ERRORS = (
    ("rms", "R.m.s. error", "large errors count most"),
    ("mae", "Mean absolute", "how far an answer is off on average"),
    ("median", "Median absolute", "half of the answers are nearer"),
    ("bias", "Bias", "mean of answer minus truth: 0 leans to neither side"),
)


@dataclass(frozen=True)
class AngleEvidence:
    """All that the report shows.

    Attributes
    ----------
    recipe, run
        The experiment and its run folder.
    metrics
        The content of ``metrics.json``.
    records
        Record of each earlier stage; ``None`` where there is none.
    metadata
        Metadata of the prepared catalogue: source, licence, citation.
    history
        Learning curves of each member.
    measured
        Truth and answers of the test discs.
    galleries
        What `illustrate` made.
    examples
        What `examples_of` made.
    """

    recipe: Recipe
    run: Path
    metrics: dict[str, Any]
    records: dict[str, StageRecord | None]
    metadata: dict[str, Any]
    history: list[list[dict[str, Any]]]
    measured: Measured
    galleries: dict[str, list[dict[str, Any]]]
    examples: dict[str, dict[str, Any]]

    def summary(self, stage: str) -> dict[str, Any]:
        """What a stage said of itself, or nothing."""
        record = self.records.get(stage)
        return record.summary if record else {}


def words() -> dict[str, Any]:
    """Functions with which the pages write angles."""
    return {
        "degrees": wording.degrees,
        "degrees_span": wording.degrees_span,
        "scored": wording.scored,
        "ratio_span": wording.span_of_ratio,
    }


def render_angles(evidence: AngleEvidence) -> str:
    """Write the page: HTML with inline style, drawings and pictures; it loads nothing."""
    metrics = evidence.metrics
    return (
        environment(PAGE)
        .get_template("angles.html")
        .render(
            **words(),
            recipe=evidence.recipe,
            metrics=metrics,
            sentences=wording.headline(metrics),
            trust=wording.intervals_in_words(metrics),
            rejection=wording.rejection_in_words(metrics),
            familiar=plain.familiar_in_words(metrics),
            cautions=wording.cautions(metrics),
            warnings=[
                warning
                for stage in evidence.records
                for warning in evidence.summary(stage).get("warnings", [])
            ],
            cards=cards_of(metrics["headline"] or metrics["scores"], metrics["scores"]),
            ways=_ways(metrics),
            plots=_plots(evidence),
            galleries=evidence.galleries,
            pictures={"classes": evidence.examples},
            **{
                name: evidence.summary(stage)
                for name, stage in (
                    ("acquired", "acquire"),
                    ("cleaned", "clean"),
                    ("split", "split"),
                    ("prepared", "prepare"),
                    ("trained", "train"),
                )
            },
            metadata=evidence.metadata,
            bundle=evidence.run / "export" / (evidence.recipe.export.name or evidence.recipe.name),
            recipe_json=json.dumps(evidence.recipe.model_dump(), indent=2, ensure_ascii=False),
            records={name: record for name, record in evidence.records.items() if record},
            versions=versions(),
        )
    )


def cards_of(errors: dict[str, Any], intervals: dict[str, Any]) -> list[dict[str, Any]]:
    """Scores in words for the cards.

    Parameters
    ----------
    errors
        Scores that the errors are taken from.
    intervals
        Scores that coverage and width are taken from: of galaxies not chosen by their truth, since
        such a choice changes the coverage.
    """
    found = [
        _card(title, about, wording.degrees(score["value"]), wording.degrees_span(score), score)
        for name, title, about in ERRORS
        for score in [errors[name]]
    ]
    held, width = intervals["coverage_68"], intervals["width_68"]
    share, span = plain.percent(held["value"]), plain.span(held, as_percent=True)
    about = f"68{plain.THIN}% is right: less is too sure, more too modest"
    found.append(_card("Intervals hold", about, share, span, held))
    value, span = wording.degrees(width["value"]), wording.degrees_span(width)
    found.append(_card("Mean width", "of these intervals, end to end", value, span, width))
    return found


def _card(title: str, about: str, value: str, span: str, score: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "words": about, "value": value, "span": span, "n": score["n"]}


def _ways(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of other ways, of all galaxies and of those of the headline."""
    formula, constant = metrics["formula"], metrics["constant"]["value"]
    named = [("constant", f"always {wording.degrees(constant, 0)}")]
    if formula["q0"] is not None:
        named = [
            ("formula", f"ellipse formula, q0 = {formula['q0']:.3f} (fitted)"),
            ("formula_usual", f"ellipse formula, q0 = {formula['usual']:.1f} (usual)"),
            *named,
        ]
    parts = [("headline", "of the headline"), ("all", "all")]
    return [
        {"title": title, "galaxies": told, **metrics["others"][part][name]}
        for part, told in parts
        for name, title in named
        if metrics["others"][part].get(name)
    ]


def _plots(evidence: AngleEvidence) -> dict[str, Any]:
    metrics, history = evidence.metrics, evidence.history
    binned = {one["key"]: one for one in metrics["bins"]}
    thirds = metrics["thirds"]
    drawn = {
        "scatter": figures.scatter_plot(evidence.measured),
        "residual": figures.residual_plot(evidence.measured),
        "predicted": figures.coverage_plot(
            binned["inclination"], thirds["predicted"], "predicted inclination"
        ),
        "true": figures.coverage_plot(
            binned["inclination_true"], thirds["true"], "true inclination"
        ),
        "error": figures.error_plot(binned["inclination_true"]),
    }
    if metrics["reject"]["curve"]:
        drawn["reject"] = figures.rejection_plot(metrics["reject"])
    if any(history):
        best = [member["best_epoch"] for member in metrics["training"]["members"]]
        losses = (("validation_loss", "validation"), ("train_loss", "train"))
        drawn["loss"] = curve_plot(history, losses, best, "loss")
        errors = (("validation_mae", "validation"),)
        drawn["score"] = curve_plot(history, errors, best, "mean absolute error (deg)")
    found: dict[str, Any] = {name: Markup(plot) for name, plot in drawn.items()}
    found["along"] = [
        (binned[key], Markup(figures.error_plot(binned[key])))
        for key, _, _ in PROPERTIES
        if key in binned
    ]
    return found
