"""The report: one self-contained page, made from ``metrics.json`` and the stages' records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from morphoscope.evaluate import figures, wording
from morphoscope.evaluate.measures import count_rare, explain_measures
from morphoscope.provenance import StageRecord, versions
from morphoscope.recipe import Recipe

__all__ = ["Evidence", "environment", "render"]

PAGE = Path(__file__).parent / "page"
CARDS = (
    ("accuracy", "Accuracy", "share of images named rightly", True),
    ("balanced_accuracy", "Balanced accuracy", "the same, every class counting alike", True),
    ("macro_f1", "Macro F1", "purity and completeness together, mean over classes", False),
    ("log_loss", "Log loss", "0 is perfect; being sure and wrong costs most", False),
    ("ece", "Calibration error", "mean distance of probability from truth", True),
)


@dataclass(frozen=True)
class Evidence:
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
    top, right
        Highest probability of each test image, and whether that answer was right.
    pictures
        What `illustrate` made.
    """

    recipe: Recipe
    run: Path
    metrics: dict[str, Any]
    records: dict[str, StageRecord | None]
    metadata: dict[str, Any]
    history: list[list[dict[str, Any]]]
    top: NDArray[np.float64]
    right: NDArray[np.bool_]
    pictures: dict[str, Any]

    def summary(self, stage: str) -> dict[str, Any]:
        """What a stage said of itself, or nothing."""
        record = self.records.get(stage)
        return record.summary if record else {}


def render(evidence: Evidence) -> str:
    """Write the page.

    Parameters
    ----------
    evidence
        What to show; a stage without a record leaves its section saying so.

    Returns
    -------
    str
        HTML with inline style, drawings and pictures; it loads nothing.
    """
    metrics = evidence.metrics
    return (
        environment()
        .get_template("report.html")
        .render(
            recipe=evidence.recipe,
            metrics=metrics,
            sentences=wording.headline(metrics),
            trust=wording.trust_in_words(metrics),
            sets=wording.sets_in_words(metrics),
            familiar=wording.familiar_in_words(metrics),
            cautions=wording.cautions(metrics),
            measures=explain_measures(metrics),
            rare=count_rare(metrics, evidence.summary("split").get("counts", {})),
            warnings=[
                warning
                for stage in evidence.records
                for warning in evidence.summary(stage).get("warnings", [])
            ],
            cards=_cards(metrics),
            confusion=_confusion(metrics),
            plots=_plots(evidence),
            pictures=evidence.pictures,
            acquired=evidence.summary("acquire"),
            cleaned=evidence.summary("clean"),
            split=evidence.summary("split"),
            prepared=evidence.summary("prepare"),
            trained=evidence.summary("train"),
            metadata=evidence.metadata,
            bundle=evidence.run / "export" / (evidence.recipe.export.name or evidence.recipe.name),
            recipe_json=json.dumps(evidence.recipe.model_dump(), indent=2, ensure_ascii=False),
            records={name: record for name, record in evidence.records.items() if record},
            versions=versions(),
        )
    )


@cache
def environment(own: Path | None = None) -> jinja2.Environment:
    """Templates of the pages, with the filters that write numbers.

    ``own`` is a folder with a page and its style that are not those of this package.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([PAGE, *([own] if own else [])]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=wording.percent,
        decimal=wording.decimal,
        span=wording.span,
        duration=wording.duration,
        count=lambda value: f"{value:,}",
        bar=lambda score, title: Markup(figures.share_bar(score, title)),
    )
    styles = [PAGE / "report.css", *(sorted(own.glob("*.css")) if own else [])]
    environment.globals["style"] = Markup("".join(style.read_text() for style in styles))
    return environment


def _cards(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"title": title, "words": words, "percent": as_percent, "score": metrics["scores"][name]}
        for name, title, words, as_percent in CARDS
    ]


def _confusion(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the confusion matrix with shares of the row and the depth of each cell's colour."""
    rows = []
    for name, counts in zip(metrics["classes"], metrics["confusion"], strict=True):
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        cells = [
            # The root makes rare mistakes visible beside the diagonal.
            {"n": count, "share": share, "depth": share**0.7}
            for count, share in zip(counts, shares, strict=True)
        ]
        rows.append({"name": name, "total": total, "cells": cells})
    return rows


def _plots(evidence: Evidence) -> dict[str, Any]:
    metrics, history = evidence.metrics, evidence.history
    accuracy = metrics["scores"]["accuracy"]["value"]
    found: dict[str, Any] = {
        "reliability": Markup(figures.reliability_plot(metrics["calibration"])),
        "confidence": Markup(figures.confidence_plot(evidence.top, evidence.right)),
        "trust": Markup(figures.trust_plot(metrics["trust"])),
        "weak": [
            (spot, Markup(figures.weakness_plot(spot, accuracy)))
            for spot in metrics["weak_spots"]["found"]
        ],
    }
    if any(history):
        best = [member["best_epoch"] for member in metrics["training"]["members"]]
        losses = (("validation_loss", "validation"), ("train_loss", "train"))
        scores = (("validation_accuracy", "validation"), ("validation_macro_f1", "second"))
        found["loss"] = Markup(figures.curve_plot(history, losses, best, "loss"))
        found["score"] = Markup(figures.curve_plot(history, scores, best, "score"))
    return found
