"""Doubtful labels as a page and a table, from the predictions of one run or of all folds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import atomic_path, read_catalogue, read_table, require_columns
from morphoscope.errors import CatalogueError, MorphoscopeError, SplitError
from morphoscope.evaluate.label_errors import LabelErrors, find_label_errors
from morphoscope.evaluate.pictures import embed, to_picture
from morphoscope.evaluate.report import environment
from morphoscope.prepare import prepare_file
from morphoscope.prepare.store import CATALOGUE, DESCRIPTION
from morphoscope.provenance import versions
from morphoscope.recipe import PrepareSettings

__all__ = ["Tested", "find_doubts", "read_tested"]

PREFIX = "p_"
STORES = ("prepare", "stores/*")
SIDE = 168


@dataclass(frozen=True)
class Tested:
    """Images with a label and the answer of a model that did not train on them.

    Attributes
    ----------
    frame
        ``id_str``, ``file_loc``, ``label`` and ``p_<class>`` …, one row an image.
    classes
        Names in the order of the columns ``p_…``.
    untested
        Labelled images of the runs that no model was tested on, as far as their folders say.
    preparation
        How the first run prepares its images, for the pictures.
    """

    frame: pl.DataFrame
    classes: list[str]
    untested: int
    preparation: PrepareSettings

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Shape ``(n, k)``."""
        return np.asarray(self.frame.select(f"{PREFIX}{name}" for name in self.classes).to_numpy())

    @property
    def labels(self) -> NDArray[np.int64]:
        """Given class, shape ``(n,)``."""
        places = {name: index for index, name in enumerate(self.classes)}
        column = self.frame["label"].replace_strict(places, return_dtype=pl.Int64)
        return np.asarray(column.to_numpy())


def find_doubts(predictions: list[Path], *, out: Path, show: int = 120) -> dict[str, Any]:
    """Find labels that are likely wrong; write a page with their pictures, and a table.

    Parameters
    ----------
    predictions
        ``predictions.parquet`` of one run, or of the runs of all folds.
    out
        The page; the table, with every candidate, stands beside it as ``.csv``.
    show
        Pictures on the page, the most doubtful first.

    Returns
    -------
    dict
        ``n`` images looked at, ``candidates``, ``expected`` (estimated number of wrong labels),
        ``untested``, ``page`` and ``table``.

    Raises
    ------
    CatalogueError
        A file is no table of predictions, or two have other classes.
    SplitError
        An image was tested twice, no image was tested, or a fold is missing.
    """
    tested = read_tested(predictions)
    errors = find_label_errors(tested.probabilities, tested.labels)
    table = _table(tested, errors)
    stem = str(out).removesuffix(".csv").removesuffix(".html")
    page, listed = Path(f"{stem}.html"), Path(f"{stem}.csv")
    summary = {
        "n": tested.frame.height,
        "candidates": table.height,
        "expected": round(errors.expected, 1),
        "untested": tested.untested,
        "page": str(page),
        "table": str(listed),
    }
    with atomic_path(listed) as path:
        table.write_csv(path)
    cards = [_card(row, tested.preparation) for row in table.head(show).iter_rows(named=True)]
    words = environment().get_template("doubts.html")
    with atomic_path(page) as path:
        path.write_text(
            words.render(
                summary=summary,
                cards=cards,
                pairs=_pairs(tested, errors),
                sources=[str(path) for path in predictions],
                versions=versions(),
            ),
            encoding="utf-8",
        )
    return summary


def read_tested(predictions: list[Path]) -> Tested:
    """Read the test rows of some runs and make sure that each image is there once.

    Of a comparison, where several networks answer for an image, the mean probability is taken.

    Raises
    ------
    CatalogueError
        A file is no table of predictions, or two have other classes.
    SplitError
        An image was tested twice, no image was tested, or a fold is missing.
    """
    read = [_read(path) for path in predictions]
    first = read[0][1]
    for path, (_, classes) in zip(predictions, read, strict=True):
        if classes != first:
            raise CatalogueError(
                f"{path} has the classes {', '.join(classes)}",
                expected=f"those of {predictions[0]}: {', '.join(first)}",
                do="give runs of one recipe",
            )
    frame = pl.concat([one for one, _ in read])
    again = frame.filter(pl.col("id_str").is_duplicated())
    if again.height:
        raise SplitError(
            f"{again['id_str'].n_unique():,} images were tested more than once, "
            f"as {again['id_str'][0]}",
            expected="every image in one file only",
            do="give each fold once, or the runs of one split once",
        )
    if not frame.height:
        raise SplitError(
            f"no test image of {', '.join(map(str, predictions))} has a label",
            do="give predictions that `morphoscope evaluate` wrote",
        )
    folders = [path.absolute().parent.parent for path in predictions]
    return Tested(frame, first, _untested(folders, frame), _preparation(folders[0]))


def _read(path: Path) -> tuple[pl.DataFrame, list[str]]:
    table = read_table(path, text=["id_str"])
    require_columns(table, ("id_str", "split", "label"), where=path.name)
    columns = [name for name in table.columns if name.startswith(PREFIX)]
    classes = [name.removeprefix(PREFIX) for name in columns]
    rows = table.filter((pl.col("split") == "test") & pl.col("label").is_not_null())
    unknown = sorted(set(rows["label"]) - set(classes))
    if unknown:
        raise CatalogueError(
            f"{path} has the label {unknown[0]!r} and no column {PREFIX + unknown[0]!r}",
            expected="predictions as `morphoscope evaluate` writes them",
        )
    if "variant" in rows.columns:
        answers = pl.col(columns).mean()
        rows = rows.group_by("id_str", "label", maintain_order=True).agg(answers)
    if "file_loc" not in rows.columns:
        rows = rows.join(_files(path), on="id_str", how="left", maintain_order="left")
    return rows.select("id_str", "file_loc", "label", pl.col(columns).cast(pl.Float64)), classes


def _files(path: Path) -> pl.DataFrame:
    """Where the images lie, from the run whose folder holds these predictions."""
    store = _store(path.absolute().parent.parent)
    return read_catalogue(store / CATALOGUE).frame.select("id_str", "file_loc")


def _store(run: Path) -> Path:
    """The images of a run; of a comparison whose variants all prepare their own, any of them."""
    found = [place for pattern in STORES for place in sorted(run.glob(pattern))]
    return next((place for place in found if (place / CATALOGUE).exists()), run / "prepare")


def _untested(folders: list[Path], tested: pl.DataFrame) -> int:
    """Labelled images of the runs without a test answer; of folds none may be missing."""
    places = [_store(folder) / CATALOGUE for folder in folders]
    frames = [read_catalogue(place).frame for place in places if place.exists()]
    labelled = [frame.filter(pl.col("class").is_not_null()) for frame in frames]
    rest = [frame.join(tested, on="id_str", how="anti") for frame in labelled]
    for frame, left in zip(labelled, rest, strict=True):
        missing = sorted(left["fold"].unique()) if "fold" in frame.columns else []
        if missing:
            raise SplitError(
                f"of {frame['fold'].n_unique()} folds there are no answers for "
                f"{', '.join(map(str, missing))}",
                expected="every image tested once",
                do="run the recipe with split.fold = each of them, and give all predictions",
                folds=missing,
            )
    ids = pl.concat([left.select("id_str") for left in rest]) if rest else pl.DataFrame()
    return ids["id_str"].n_unique() if ids.height else 0


def _preparation(folder: Path) -> PrepareSettings:
    """As the run prepares its images, but large enough to look at, and not denoised."""
    try:
        described = json.loads((_store(folder) / DESCRIPTION).read_text())
        settings = PrepareSettings.model_validate(described["preparation"])
    except (OSError, ValueError, KeyError):
        settings = PrepareSettings()
    if settings.channels == "bands":
        # Refuses cutouts that are much smaller than what they are to become.
        return settings
    return settings.model_copy(update={"size": SIDE, "denoise": "none"})


def _table(tested: Tested, errors: LabelErrors) -> pl.DataFrame:
    rows, names = errors.ranked, np.array(tested.classes, dtype=object)
    suggested = errors.suggested[rows]
    return tested.frame[rows].select(
        pl.int_range(1, len(rows) + 1).alias("rank"),
        "id_str",
        "file_loc",
        "label",
        pl.Series("suggested", names[suggested].tolist(), pl.String),
        pl.Series("p_label", errors.self_confidence[rows]),
        pl.Series("p_suggested", tested.probabilities[rows, suggested]),
        pl.Series("margin", errors.margin[rows]),
    )


def _pairs(tested: Tested, errors: LabelErrors) -> list[dict[str, Any]]:
    """How many labels of each kind should be another one, most first."""
    given = np.bincount(tested.labels, minlength=len(tested.classes))
    pairs = [
        {
            "label": tested.classes[i],
            "true": tested.classes[j],
            "expected": float(errors.joint[i, j]),
            "share": float(errors.joint[i, j] / given[i]),
        }
        for i, j in zip(*np.nonzero(errors.joint), strict=True)
        if i != j
    ]
    return sorted(pairs, key=lambda pair: -pair["expected"])


def _card(row: dict[str, Any], settings: PrepareSettings) -> dict[str, Any]:
    try:
        picture = embed(to_picture(prepare_file(row["file_loc"], settings)))
    except MorphoscopeError as error:
        return {**row, "picture": "", "missing": error.found}
    return {**row, "picture": picture}
