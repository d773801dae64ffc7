"""The report of a search: one self-contained page."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import optuna
import polars as pl
from markupsafe import Markup
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from morphoscope.catalog import atomic_path
from morphoscope.evaluate.report import environment as pages
from morphoscope.provenance import versions
from morphoscope.search import figures
from morphoscope.search.space import Space
from morphoscope.search.strategies import stopping_of
from morphoscope.search.study import lower_is_better

__all__ = ["importances", "write_report"]

PAGE = Path(__file__).parent / "page"
# Below this number of whole trials an importance says more about chance than about settings.
ENOUGH = 8


def write_report(
    space: Space,
    study: Study,
    table: pl.DataFrame,
    best: dict[str, Any],
    front: pl.DataFrame | None,
    path: Path,
) -> None:
    """Write the page.

    Parameters
    ----------
    space, study
        What was searched.
    table
        As `trial_table` makes it.
    best
        Row of the best trial.
    front
        Trials that no other beats in score without costing more, for nsga2.
    path
        The HTML file; it loads nothing.
    """
    recipe = space.recipe
    lowest = lower_is_better(recipe.train)
    monitor = recipe.train.monitor
    importance = importances(space, study, table)
    page = (
        _environment()
        .get_template("search.html")
        .render(
            recipe=recipe,
            search=recipe.search,
            stopping=stopping_of(recipe.search),
            monitor=monitor.replace("_", " "),
            best=best,
            counts=Counter(table["state"].to_list()),
            seconds=table["seconds"].sum(),
            epochs=table["epochs"].sum(),
            trials=_ranked(table, lowest),
            settings=list(space.spans),
            front=[] if front is None else front.to_dicts(),
            failures=Counter(table["reason"].drop_nulls().to_list()),
            history=Markup(figures.history_plot(table, monitor, lowest=lowest)),
            parallel=Markup(figures.parallel_plot(space.spans, table, monitor, lowest=lowest)),
            importance=Markup(figures.importance_plot(importance)) if importance else "",
            cost=Markup(figures.front_plot(table, front, monitor)) if front is not None else "",
            enough=ENOUGH,
            spans=[(key, _in_words(span.model_dump())) for key, span in space.spans.items()],
            place=path.parent,
            versions=versions(),
        )
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page)


def importances(space: Space, study: Study, table: pl.DataFrame) -> dict[str, float]:
    """Share of each setting in what makes the best trials good, the largest first.

    PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv:2304.10255) over the whole trials; empty where
    they are too few.
    """
    whole = table.filter(pl.col("state") == "complete")
    varied = [key for key in space.spans if whole[key].n_unique() > 1]
    if whole.height < ENOUGH or not varied or whole["score"].n_unique() < 2:
        return {}
    # Of two aims only the score counts here.
    scored = optuna.create_study(direction=study.directions[0])
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        scored.add_trial(
            create_trial(
                params=trial.params, distributions=trial.distributions, value=trial.values[0]
            )
        )
    return optuna.importance.get_param_importances(scored, params=varied)


def _ranked(table: pl.DataFrame, lowest: bool) -> list[dict[str, Any]]:
    """Whole trials first, the best on top."""
    return (
        table.with_columns(whole=pl.col("state") == "complete")
        .sort("whole", "score", descending=[True, not lowest], nulls_last=True)
        .to_dicts()
    )


def _in_words(span: dict[str, Any]) -> str:
    if span["choices"]:
        return ", ".join(json.dumps(choice) for choice in span["choices"])
    scale = ", logarithmic" if span["log"] else ""
    step = f" in steps of {span['step']}" if span["step"] is not None else ""
    return f"{span['low']} to {span['high']}{step}{scale}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@cache
def _environment() -> jinja2.Environment:
    environment = pages(PAGE)
    environment.filters["shown"] = _shown
    return environment
