"""What several models, or people, say of the same galaxies: from tables to arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import require_columns
from morphoscope.errors import CatalogueError

__all__ = ["Answers", "Floats", "aligned_numbers", "gather", "mean", "novelty"]

Floats = NDArray[np.float64]
PREFIX = "p_"
ANGLE, LOW, HIGH = "inclination", "inclination_low", "inclination_high"
FLAG, DISTANCE = "unlike_training", "distance"


@dataclass(frozen=True)
class Answers:
    """What models with the same classes say of ``n`` galaxies; not-a-number where one is silent.

    Attributes
    ----------
    classes
        Names; of models of inclinations the first is the disc. Empty: they tell an angle alone.
    probabilities
        Shape ``(models, n, classes)``, each galaxy's of sum 1.
    angles
        Inclination (deg), and half the width of its interval, shape ``(2, models, n)``; None
        where the models measure none.
    """

    classes: tuple[str, ...]
    probabilities: Floats
    angles: Floats | None

    @property
    def disc(self) -> Floats:
        """Mean probability that the inclination counts, shape ``(n,)``."""
        if self.classes:
            return mean(self.probabilities[:, :, 0])
        return np.ones(self.probabilities.shape[1])


def mean(values: Floats) -> Floats:
    """Mean over the first axis of what is there; not-a-number where nothing is."""
    there = np.isfinite(values)
    number = there.sum(0)
    total = np.where(there, values, 0).sum(0)
    return np.asarray(np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0))


def gather(tables: Sequence[pl.DataFrame], ids: Sequence[str]) -> list[Answers]:
    """Join tables by galaxy and group them by what they answer.

    Parameters
    ----------
    tables
        With ``id_str`` and ``p_<class>`` … or ``inclination`` and its interval, or both.
    ids
        The galaxies, in the order of the arrays.

    Raises
    ------
    CatalogueError
        A table has none of these columns, or names a galaxy twice.
    """
    groups: dict[tuple[frozenset[str], bool], list[pl.DataFrame]] = {}
    for table in tables:
        names = _classes(table)
        measures = {ANGLE, LOW, HIGH} <= set(table.columns)
        if not names and not measures:
            raise CatalogueError(
                f"the table has the columns {', '.join(table.columns)}",
                expected=f"{PREFIX}<class> …, or {ANGLE}, {LOW} and {HIGH}",
                do="name a table that `morphoscope predict` wrote",
            )
        groups.setdefault((frozenset(names), measures), []).append(_aligned(table, ids))
    return [_answers(group, measures) for (_, measures), group in groups.items()]


def novelty(tables: Sequence[pl.DataFrame], ids: Sequence[str]) -> Floats | None:
    """How unlike its training set each model finds a galaxy, mean over models, shape ``(n,)``.

    Its column ``distance`` where a table has it, else its flag as 0 or 1; None without either.
    """
    found = []
    for table in tables:
        name = DISTANCE if DISTANCE in table.columns else FLAG
        if name in table.columns:
            found.append(aligned_numbers(table, ids, [name])[:, 0])
    return mean(np.stack(found)) if found else None


def aligned_numbers(table: pl.DataFrame, ids: Sequence[str], names: list[str]) -> Floats:
    """Columns as numbers, a row for each of these galaxies; not-a-number for null."""
    return _numbers(_aligned(table, ids), names)


def _classes(table: pl.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith(PREFIX)]


def _aligned(table: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    """The rows of these galaxies, null where the table has none."""
    require_columns(table, ("id_str",), where="the table of predictions")
    twice = table.filter(table["id_str"].is_duplicated())
    if twice.height:
        raise CatalogueError(
            f"the table names {twice['id_str'][0]!r} twice",
            expected="one row a galaxy",
            do="keep one of them",
        )
    asked = pl.DataFrame({"id_str": pl.Series(ids, dtype=pl.String)})
    return asked.join(table.with_columns(pl.col("id_str").cast(pl.String)), "id_str", how="left")


def _numbers(table: pl.DataFrame, names: list[str]) -> Floats:
    """Columns as numbers ``(n, columns)``, not-a-number for null."""
    numbers = table.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in names)
    return np.asarray(numbers.to_numpy(), np.float64)


def _answers(group: list[pl.DataFrame], measures: bool) -> Answers:
    names = _classes(group[0])
    probabilities = np.stack([_shares(_numbers(table, names)) for table in group])
    angles = None
    if measures:
        columns = np.stack([_numbers(table, [ANGLE, LOW, HIGH]) for table in group])
        angles = np.stack([columns[:, :, 0], (columns[:, :, 2] - columns[:, :, 1]) / 2])
    return Answers(tuple(name.removeprefix(PREFIX) for name in names), probabilities, angles)


def _shares(numbers: Floats) -> Floats:
    """Probabilities of sum 1; a galaxy of which one is missing, or all are 0, has none."""
    total = numbers.sum(1, keepdims=True) if numbers.shape[1] else np.ones((len(numbers), 1))
    return np.asarray(
        np.divide(numbers, total, out=np.full(numbers.shape, np.nan), where=total > 0)
    )
