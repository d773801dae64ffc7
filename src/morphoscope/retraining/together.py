"""Old and new galaxies in one catalogue, one recipe and one division into splits.

A new label wins over the old one of the same galaxy. What the old model was tested on stays test,
and new galaxies go where those of their group are; the others are shared out by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import Catalogue
from morphoscope.recipe import ClassRule, DropRule, Recipe, changed
from morphoscope.split import SPLITS, find_groups, share_out
from morphoscope.split.groups import sdss_fields

__all__ = ["GENTLER", "LABEL", "NEW_TEST", "SHORTER", "combine", "divide", "renewed"]

# Columns of the combined catalogue: the class that a new label gives, and the table it is from.
LABEL, TABLE, FIELD = "label_given", "labels_sha256", "sdss_field_known"
# Share of the new galaxies that judges: twice the usual, since a gain that cannot be shown is not
# served.
NEW_TEST = 0.3
# A network that has learnt most of it is led on by smaller steps, and for less long.
SHORTER, GENTLER = 0.4, 0.3
# Names that may be SDSS objids.
OBJID = r"^\d{18,19}$"


def combine(old: Catalogue, labels: pl.DataFrame, digest: str, inclination: str) -> pl.DataFrame:
    """Put new labels beside, or in the place of, the old ones.

    Parameters
    ----------
    old
        Catalogue of the old run, as acquired.
    labels
        As from `read_new_labels`.
    digest
        Of their table, so that they are known again.
    inclination
        Column of inclinations in the old catalogue; empty: there is none.

    Returns
    -------
    polars.DataFrame
        All galaxies with the old columns, ``label_given`` and ``labels_sha256``; of the old ones
        these are null, or of an earlier retraining.
    """
    new = labels.rename({"label": LABEL, "inclination": "inclination_given"})
    new = new.with_columns(pl.lit(digest).alias(TABLE))
    frame = _with_columns(old.frame, {LABEL: pl.String, TABLE: pl.String})
    if inclination:
        frame = frame.with_columns(pl.col(inclination).cast(pl.Float64))
    names = _same_galaxies(frame, new)
    again = names.join(new.drop("ra", "dec", "file_loc"), left_on="new", right_on="id_str")
    frame = _relabelled(frame, again, inclination)
    fresh = new.join(names, left_on="id_str", right_on="new", how="anti", maintain_order="left")
    if inclination:
        fresh = fresh.with_columns(pl.col("inclination_given").alias(inclination))
    if "origin" in frame.columns:
        fresh = fresh.with_columns(pl.lit("labels").alias("origin"))
    if "class" in frame.columns:
        fresh = fresh.with_columns(pl.lit(None, pl.String).alias("class"))
    frame = pl.concat([frame, fresh.drop("inclination_given")], how="diagonal_relaxed")
    return frame.with_columns(_fields(frame["id_str"]).alias(FIELD))


def renewed(
    recipe: Recipe,
    *,
    catalogue: Path,
    start: Path,
    classes: Sequence[str],
    settled: Collection[str] = (),
) -> Recipe:
    """Recipe that trains on with old and new galaxies; `divide` makes its ``split.given``.

    Parameters
    ----------
    recipe
        That of the old model.
    catalogue
        The combined one.
    start
        Folder ``train/model`` of the old run.
    classes
        Of the old model, in its order.
    settled
        Settings, as ``train.epochs``, that are taken as they are.
    """
    train = recipe.train
    values: dict[str, Any] = {
        "acquire": {
            "source": "table",
            "data": str(catalogue.absolute()),
            "id_column": "id_str",
            "file_column": "file_loc",
            "licence": recipe.acquire.licence,
            "citation": recipe.acquire.citation,
        },
        "clean.classes": [rule.model_dump() for rule in _rules(recipe, classes)],
        "clean.drop": [
            DropRule(where=_of_old(rule.where), reason=rule.reason).model_dump()
            for rule in recipe.clean.drop
        ],
        "split": {
            **recipe.split.model_dump(exclude={"fold", "folds", "sdss_field"}),
            "kind": "holdout",
            "given": "",
            "groups": [*recipe.split.groups, *([FIELD] if recipe.split.sdss_field else [])],
        },
        "train.weights": str(start.absolute()),
        "train.tuned": "all",
        "train.others": [_gentle(one, train.epochs, start) for one in train.others],
    }
    for name, value in _gentle(train.model_dump(), train.epochs, start).items():
        if name in ("epochs", "learning_rate") and f"train.{name}" not in settled:
            values[f"train.{name}"] = value
    return changed(recipe, values)


def divide(cleaned: pl.DataFrame, before: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Split of every galaxy.

    Parameters
    ----------
    cleaned
        The combined catalogue after clean.
    before
        ``id_str`` and ``split`` of the old run.
    recipe
        As from `renewed`.

    Returns
    -------
    polars.DataFrame
        ``id_str`` and ``split``. Of a group with old galaxies in several splits, all are where the
        latest of train, validation and test is.
    """
    frame = cleaned.sort("id_str")
    group = find_groups(frame, recipe.split)
    known = frame.select("id_str").join(before, on="id_str", how="left", maintain_order="left")
    places = known["split"].replace_strict(
        list(SPLITS), range(3), default=-1, return_dtype=pl.Int64
    )
    parts = np.full(int(group.max()) + 1, -1)
    np.maximum.at(parts, group, places.to_numpy())
    contents = _contents(frame["class"], group, len(parts))
    free = parts < 0
    validation = recipe.split.validation * (1 - NEW_TEST)
    shares = np.array([1 - validation - NEW_TEST, validation, NEW_TEST])
    parts[free] = share_out(contents[free], shares, np.random.default_rng(recipe.seed))
    return frame.select("id_str", pl.Series("split", np.array(SPLITS)[parts[group]]))


def _with_columns(frame: pl.DataFrame, columns: dict[str, Any]) -> pl.DataFrame:
    absent = [pl.lit(None, kind).alias(n) for n, kind in columns.items() if n not in frame.columns]
    return frame.with_columns(absent)


def _same_galaxies(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Pairs of names, ``old`` and ``new``, of one galaxy: by its name, else by its file."""
    named = new.select(pl.col("id_str").alias("new"), pl.col("id_str").alias("old"), "file_loc")
    by_name = named.filter(pl.col("new").is_in(old["id_str"].to_list())).select("old", "new")
    rest = named.join(by_name, on="new", how="anti").select("new", "file_loc")
    files = old.select(pl.col("id_str").alias("old"), "file_loc")
    by_file = rest.join(files, on="file_loc", how="inner").select("old", "new")
    both = pl.concat([by_name, by_file])
    return both.unique("old", keep="first", maintain_order=True)


def _relabelled(frame: pl.DataFrame, again: pl.DataFrame, inclination: str) -> pl.DataFrame:
    """Old galaxies with their new labels."""
    given = again.select(
        pl.col("old").alias("id_str"),
        pl.col(LABEL).alias("label_now"),
        pl.col(TABLE).alias("table_now"),
        pl.col("inclination_given").alias("inclination_now"),
    )
    frame = frame.join(given, on="id_str", how="left", maintain_order="left")
    known = pl.col("label_now").is_not_null()
    columns = [(LABEL, "label_now"), (TABLE, "table_now")]
    if inclination:
        columns.append((inclination, "inclination_now"))
    frame = frame.with_columns(
        pl.when(known).then(pl.col(now)).otherwise(pl.col(name)).alias(name)
        for name, now in columns
    )
    return frame.drop("label_now", "table_now", "inclination_now")


def _fields(ids: pl.Series) -> pl.Series:
    """SDSS fields of those names that are objids; null of others."""
    objid = ids.str.contains(OBJID)
    numbers = pl.select(pl.when(objid).then(ids).cast(pl.Int64, strict=False)).to_series()
    camera = (numbers // 2**29) % 8
    real = camera.is_between(1, 6).fill_null(False)
    return sdss_fields(pl.select(pl.when(real).then(numbers)).to_series().alias("id_str"))


def _rules(recipe: Recipe, classes: Sequence[str]) -> list[ClassRule]:
    rules = {rule.name: rule.where for rule in recipe.clean.classes}
    return [
        ClassRule(
            name=name,
            where=f"{_of_old(rules.get(name) or _equals('class', name))} OR {_equals(LABEL, name)}",
        )
        for name in [rule.name for rule in recipe.clean.classes] or classes
    ]


def _of_old(where: str) -> str:
    """Condition for galaxies without a new label."""
    return f"({LABEL} IS NULL AND ({where}))"


def _equals(column: str, name: str) -> str:
    quoted = name.replace("'", "''")
    return f"\"{column}\" = '{quoted}'"


def _gentle(kind: dict[str, Any], epochs: int, start: Path) -> dict[str, Any]:
    """A kind of networks that goes on: fewer epochs and smaller steps than it began with."""
    values = {**kind, "weights": str(start.absolute())}
    values["epochs"] = max(1, round(SHORTER * kind.get("epochs", epochs)))
    if "learning_rate" in kind:
        values["learning_rate"] = GENTLER * kind["learning_rate"]
    return values


def _contents(classes: pl.Series, group: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Number of galaxies of each class in each group ``(groups, classes)``."""
    names = classes.unique().sort().to_list()
    index = classes.replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    contents = np.zeros((groups, len(names)), np.int64)
    np.add.at(contents, (group, index.to_numpy()), 1)
    return contents
