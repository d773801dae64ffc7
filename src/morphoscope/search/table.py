"""The trial table: one row a trial, with its settings, scores per epoch and state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from morphoscope.catalog import atomic_path
from morphoscope.search.space import Space

__all__ = ["best_trial", "pareto_front", "trial_table", "write_table"]

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
COLUMNS: dict[str, Any] = {
    "number": pl.Int64,
    "state": pl.String,
    "score": pl.Float64,
    "best_epoch": pl.Int64,
    "epochs": pl.Int64,
    "seconds": pl.Float64,
    "parameters": pl.Int64,
    "multiply_adds": pl.Int64,
    "reason": pl.String,
    "scores": pl.List(pl.Float64),
}


def trial_table(space: Space, study: Study) -> pl.DataFrame:
    """Make the table.

    Returns
    -------
    DataFrame
        ``number``, ``state`` (complete, stopped, failed, running, waiting), ``score`` (the best
        epoch's, of `train.monitor`), ``best_epoch``, ``epochs`` done, ``seconds`` of training,
        ``parameters`` and ``multiply_adds`` (of one image) of the network, ``reason`` of a failure,
        ``scores`` of every epoch, then one column a setting of the space.
    """
    rows = [_row(trial) for trial in study.get_trials(deepcopy=False)]
    return pl.DataFrame(
        [{**dict.fromkeys(space.spans), **row} for row in rows],
        schema_overrides=COLUMNS,
        infer_schema_length=None,
        strict=False,
    ).select(*COLUMNS, *space.spans)


def _row(trial: FrozenTrial) -> dict[str, Any]:
    found = trial.user_attrs
    scores = found.get("scores", [])
    best = found.get("best_epoch")
    return {
        "number": trial.number,
        "state": STATES[trial.state],
        "score": scores[best - 1] if best else None,
        "best_epoch": best,
        "epochs": len(scores),
        "seconds": found.get("seconds"),
        "parameters": found.get("parameters"),
        "multiply_adds": found.get("multiply_adds"),
        "reason": found.get("reason"),
        "scores": scores,
        **trial.params,
    }


def write_table(table: pl.DataFrame, folder: Path) -> None:
    """Write ``trials.parquet`` and ``trials.csv``, in which the scores stand as JSON."""
    with atomic_path(folder / "trials.parquet") as path:
        table.write_parquet(path)
    scores = [json.dumps(scores) for scores in table["scores"].to_list()]
    with atomic_path(folder / "trials.csv") as path:
        table.with_columns(scores=pl.Series(scores, dtype=pl.String)).write_csv(path)


def best_trial(table: pl.DataFrame, *, lowest: bool) -> dict[str, Any] | None:
    """Row of the best trial that went to its end, the first of equals."""
    whole = table.filter(pl.col("state") == "complete")
    if whole.is_empty():
        return None
    return whole.sort("score", "number", descending=[not lowest, False]).row(0, named=True)


def pareto_front(table: pl.DataFrame, *, lowest: bool) -> pl.DataFrame:
    """Trials that no other beats in score without costing more, cheapest first."""
    sign = -1 if lowest else 1
    order = (
        table.filter(pl.col("state") == "complete")
        .with_columns(height=sign * pl.col("score"))
        .sort("multiply_adds", "height", "number", descending=[False, True, False])
    )
    above = pl.col("height") > pl.col("height").cum_max().shift(1, fill_value=-float("inf"))
    return order.filter(above).drop("height")
