"""Splits that are known beforehand: given with the recipe, or written down by an earlier run.

The file of assignments is written once, and kept as long as settings and seed are the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from morphoscope.catalog import atomic_path, read_table, require_columns
from morphoscope.errors import SplitError
from morphoscope.progress import say
from morphoscope.recipe import SplitSettings

__all__ = ["ASSIGNMENTS", "read_assignments", "write_assignments"]

ASSIGNMENTS = "assignments.parquet"
COLUMNS = pl.Schema({"id_str": pl.String, "split": pl.String, "fold": pl.Int32})
MADE_WITH = "made_with"


def read_assignments(folder: Path, settings: SplitSettings, seed: int) -> pl.DataFrame:
    """Known assignments: ``id_str``, ``split``, ``fold``; those of ``split.given`` win.

    The others were made with the same settings and seed. Of k-fold, another ``fold`` is the same
    division into folds, but another train and validation: ``split`` is then null. Without any
    the table is empty.

    Raises
    ------
    SplitError
        The file is damaged, or ``split.given`` names a split that is none.
    """
    given = _given(settings)
    written = _written(folder, settings, seed)
    return pl.concat([given, written.join(given, on="id_str", how="anti", maintain_order="left")])


def _given(settings: SplitSettings) -> pl.DataFrame:
    if not settings.given:
        return COLUMNS.to_frame()
    path = Path(settings.given)
    frame = read_table(path, text=["id_str"])
    require_columns(frame, ("id_str", "split"), where=path.name)
    unknown = set(frame["split"].to_list()) - {"train", "validation", "test"}
    if unknown:
        raise SplitError(
            f"{path} gives the split {sorted(map(str, unknown))[0]!r}",
            expected="train, validation or test",
            do="mend that table",
        )
    columns = [pl.col("id_str").cast(pl.String), "split", pl.lit(None, pl.Int32).alias("fold")]
    return frame.select(columns).unique("id_str", maintain_order=True)


def _written(folder: Path, settings: SplitSettings, seed: int) -> pl.DataFrame:
    path = folder / ASSIGNMENTS
    if not path.exists():
        return COLUMNS.to_frame()
    try:
        made_with = json.loads(pl.read_parquet_metadata(path)[MADE_WITH])
        frame = pl.read_parquet(path).select(COLUMNS.names()).cast(COLUMNS)
    except (KeyError, ValueError, OSError, pl.exceptions.PolarsError) as error:
        raise SplitError(
            f"{path} cannot be read ({error})",
            do="bring it back from a copy, or delete it to draw a new split",
        ) from error
    asked = _asked(settings, seed)
    fold = made_with.pop("fold", None)
    if made_with != asked:
        say(f"split: {path.name} was made with other settings or another seed: drawn anew")
        return COLUMNS.to_frame()
    if settings.kind == "kfold" and fold != settings.fold:
        return frame.with_columns(pl.lit(None, pl.String).alias("split"))
    return frame


def write_assignments(
    folder: Path, table: pl.DataFrame, before: pl.DataFrame, settings: SplitSettings, seed: int
) -> None:
    """Write the assignments, with those of earlier galaxies that are absent this time."""
    absent = before.join(table, on="id_str", how="anti", maintain_order="left")
    frame = pl.concat([table.select(COLUMNS.names()).cast(COLUMNS), absent])
    made_with = {**_asked(settings, seed), "fold": settings.fold}
    with atomic_path(folder / ASSIGNMENTS) as path:
        frame.write_parquet(path, metadata={MADE_WITH: json.dumps(made_with)})


def _asked(settings: SplitSettings, seed: int) -> dict[str, object]:
    return {**settings.model_dump(exclude={"fold", "given"}), "seed": seed}
