"""Train, validation and test: stratified, group-safe, seeded, written down once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import free_names, read_catalogue, require_columns, write_catalogue
from morphoscope.errors import SplitError
from morphoscope.recipe import SplitSettings
from morphoscope.split.groups import find_groups
from morphoscope.split.kept import read_assignments, write_assignments
from morphoscope.split.shares import share_out

__all__ = ["SPLITS", "find_groups", "share_out", "split"]

# Where galaxies that were kept apart are found to belong together, the later of these wins: what
# was in test stays there.
SPLITS = ("train", "validation", "test")

Numbers = NDArray[np.int64]


def split(settings: SplitSettings, *, catalogue: Path, seed: int, out: Path) -> dict[str, Any]:
    """Give every galaxy to train, validation or test.

    Parameters
    ----------
    settings
        Shares or folds, and what keeps galaxies together.
    catalogue
        The catalogue that ``clean`` wrote.
    seed
        Seed of the draw, which does not depend on the order of the rows.
    out
        Folder for ``catalogue.parquet`` and ``assignments.parquet``. If the latter is there and was
        made with the same settings and seed, the galaxies in it keep their split, also those that
        are absent this time, and new ones are shared out around them.

    Returns
    -------
    dict
        ``kind``, ``counts`` (split → class → n), ``groups``, ``largest_group`` (galaxies in it),
        ``kept`` (galaxies whose split is that of an earlier writing) and ``warnings``.

    Raises
    ------
    SplitError
        A split would be empty, or the earlier assignments cannot be read.
    CatalogueError
        A column that the settings name is absent.
    """
    source = read_catalogue(catalogue)
    require_columns(source.frame, ("class",), where=str(catalogue))
    order = source.frame["id_str"].arg_sort()
    frame = source.frame[order]
    classes = source.metadata.get("classes") or frame["class"].unique().sort().to_list()
    before = read_assignments(out, settings, seed)
    table = frame.select("id_str", "class", row=order, group=find_groups(frame, settings))
    table = _assigned(table, classes, before, settings, seed)
    _require_galaxies(table, settings)
    kept, moved = _compared(table, before)
    counts = _counts(table, classes)
    warnings = _class_warnings(table, counts)
    warnings += _position_warnings(frame, settings) + _moved_warnings(moved)
    write_assignments(out, table, before, settings, seed)
    columns = ["split", "group", "fold"] if settings.kind == "kfold" else ["split", "group"]
    divided = free_names(source.frame, columns).hstack(table.sort("row").select(columns))
    write_catalogue(out / "catalogue.parquet", divided, source.metadata)
    sizes = table["group"].value_counts()["count"]
    return {
        "kind": settings.kind,
        "counts": counts,
        "groups": sizes.len(),
        "largest_group": sizes.max(),
        "kept": kept,
        "warnings": warnings,
    }


def _assigned(
    table: pl.DataFrame,
    classes: list[str],
    before: pl.DataFrame,
    settings: SplitSettings,
    seed: int,
) -> pl.DataFrame:
    """Add ``split`` and ``fold`` to one row a galaxy: ``row``, ``id_str``, ``class``, ``group``."""
    group = table["group"].to_numpy()
    contents = np.zeros((group.max() + 1, len(classes)), np.int64)
    index = table["class"].replace_strict(classes, range(len(classes)), return_dtype=pl.Int64)
    np.add.at(contents, (group, index.to_numpy()), 1)
    known = table.select("id_str").join(before, on="id_str", how="left", maintain_order="left")
    places = known["split"].replace_strict(SPLITS, range(3), default=-1, return_dtype=pl.Int64)
    split_of = _fixed(group, places.to_numpy(), len(contents))
    if settings.kind == "holdout":
        shares = [1 - settings.validation - settings.test, settings.validation, settings.test]
        parts = share_out(contents, np.array(shares), np.random.default_rng(seed), split_of)
        return _with_parts(table, parts[group], None)
    folds = known["fold"].fill_null(-1).cast(pl.Int64).to_numpy()
    fixed = _fixed(group, folds, len(contents))
    even = np.full(settings.folds, 1 / settings.folds)
    fold_of = share_out(contents, even, np.random.default_rng(seed), fixed)
    rest = fold_of != settings.fold
    # A group that has moved out of the test fold is shared out anew.
    fixed = np.where(split_of[rest] == SPLITS.index("test"), -1, split_of[rest])
    shares = [1 - settings.validation, settings.validation]
    rng = np.random.default_rng((seed, 1 + settings.fold))
    parts = np.full(len(contents), SPLITS.index("test"))
    parts[rest] = share_out(contents[rest], np.array(shares), rng, fixed)
    return _with_parts(table, parts[group], fold_of[group])


def _with_parts(table: pl.DataFrame, parts: Numbers, folds: Numbers | None) -> pl.DataFrame:
    fold = pl.lit(None) if folds is None else pl.Series(folds)
    return table.with_columns(
        pl.Series("split", np.array(SPLITS)[parts], pl.String), fold.cast(pl.Int32).alias("fold")
    )


def _fixed(group: Numbers, places: Numbers, n_groups: int) -> Numbers:
    """Part of each group that has a galaxy with a known one; of several the last."""
    fixed = np.full(n_groups, -1)
    np.maximum.at(fixed, group, places)
    return fixed


def _compared(table: pl.DataFrame, before: pl.DataFrame) -> tuple[int, int]:
    """Number of galaxies that are where they were, and of those that are not."""
    both = table.join(before, on="id_str", suffix="_before")
    same = pl.all_horizontal(
        pl.col(f"{name}_before").is_null() | (pl.col(name) == pl.col(f"{name}_before"))
        for name in ("split", "fold")
    )
    kept = int(both.select(same.sum()).item())
    return kept, both.height - kept


def _counts(table: pl.DataFrame, classes: list[str]) -> dict[str, dict[str, int]]:
    found = {row[:2]: row[2] for row in table.group_by("split", "class").len().iter_rows()}
    return {name: {one: found.get((name, one), 0) for one in classes} for name in SPLITS}


def _require_galaxies(table: pl.DataFrame, settings: SplitSettings) -> None:
    sizes = table["group"].value_counts()["count"].to_list()
    parts = settings.folds if settings.kind == "kfold" else len(SPLITS)
    empty = [name for name in SPLITS if name not in table["split"]]
    if len(sizes) < parts or empty:
        raise SplitError(
            f"{table.height:,} galaxies are {len(sizes):,} groups, the largest of "
            f"{max(sizes):,} galaxies: {empty[0] if empty else 'a fold'} would be empty",
            expected=f"at least {parts} groups, and several a class",
            do="bring more galaxies, or join fewer: see split.groups, split.sdss_field and "
            "split.neighbours_arcsec",
            groups=len(sizes),
        )


def _position_warnings(frame: pl.DataFrame, settings: SplitSettings) -> list[str]:
    if not settings.neighbours_arcsec:
        return []
    without = frame.select((pl.col("ra").is_null() | pl.col("dec").is_null()).sum()).item()
    if not without:
        return []
    return [f"{without:,} of {frame.height:,} galaxies have no position: no neighbours are known"]


def _moved_warnings(moved: int) -> list[str]:
    if not moved:
        return []
    return [f"{moved:,} galaxies left their earlier split, since new ones join them to others"]


def _class_warnings(table: pl.DataFrame, counts: dict[str, dict[str, int]]) -> list[str]:
    groups = dict(table.group_by("class").agg(pl.col("group").n_unique()).iter_rows())
    return [
        f"{name} has no {one!r}: that class is only {groups[one]:,} groups"
        for name, found in counts.items()
        for one, n in found.items()
        if not n and one in groups
    ]
