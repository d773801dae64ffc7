"""How the answers on the test images are distributed, kept for comparison with new images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

__all__ = ["answers_of_test", "distribution_of_answers"]

# Of a distribution so many steps are kept: what is between two is known to half of a per cent.
STEPS = 101
DIGITS = 5


def answers_of_test(path: Path) -> pl.DataFrame | None:
    """Answers of a run about its test images; None where they are not there."""
    if not path.exists():
        return None
    return pl.read_parquet(path).filter(pl.col("split") == "test")


def distribution_of_answers(answers: pl.DataFrame, task: str, classes: list[str]) -> dict[str, Any]:
    """Counts of what was answered, and quantiles of the numbers in it.

    Parameters
    ----------
    answers
        Rows as ``predictions.parquet`` or a predicted catalogue has them, all with an answer.
    task
        ``classes`` or ``inclination``.
    classes
        Names in the order of the probabilities.

    Returns
    -------
    dict
        ``n``, ``counts`` (answer → n), ``quantiles`` (name → values from the smallest to the
        largest, evenly spaced in rank) and ``of`` (name → number of values behind them). Of
        inclinations only those that are not rejected count.
    """
    if task == "inclination":
        answered = answers["reject"].fill_null(classes[0])
        kept = answers.filter(pl.col("reject").is_null())
        numbers = {
            "inclination": kept["inclination"],
            "width_68": kept["inclination_high"] - kept["inclination_low"],
        }
    else:
        answered = answers["class"]
        top = pl.max_horizontal([f"p_{name}" for name in classes])
        numbers = {"confidence": answers.select(top.alias("top"))["top"]}
    found = dict(answered.value_counts().iter_rows())
    return {
        "n": answers.height,
        "counts": {name: found.get(name, 0) for name in classes},
        "of": {name: len(values) for name, values in numbers.items()},
        "quantiles": {name: _quantiles(values) for name, values in numbers.items() if len(values)},
    }


def _quantiles(values: pl.Series) -> list[float]:
    steps = np.quantile(values.cast(pl.Float64).to_numpy(), np.linspace(0, 1, STEPS))
    return [float(f"{step:.{DIGITS}g}") for step in steps]
