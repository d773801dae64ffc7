"""The end check: a table of predicted inclinations against values that people measured."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from morphoscope.catalog import atomic_path, read_table, require_columns
from morphoscope.errors import CatalogueError, ImageError
from morphoscope.evaluate.angles import figures, wording
from morphoscope.evaluate.angles.ellipse import RATIOS, USUAL, measure_ratios, unmeasured
from morphoscope.evaluate.angles.report import PAGE, cards_of, words
from morphoscope.evaluate.angles.sample import (
    Draws,
    Measured,
    compare,
    counted,
    draw,
    score_measured,
)
from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.pictures import embed
from morphoscope.evaluate.report import environment
from morphoscope.images import IMAGE_SUFFIXES, read_image
from morphoscope.inclination import inclination
from morphoscope.provenance import versions

__all__ = ["judge", "known_inclinations", "match"]

Floats = NDArray[np.float64]
ANSWER = ("id_str", "file_loc", "inclination", "inclination_low", "inclination_high")
WIDER = ("inclination_low_90", "inclination_high_90")
RESAMPLING = Resampling(samples=2000, confidence=0.95, seed=0)
# Of fewer values, five degrees of a face-on sample could be radians by chance.
ENOUGH_TO_TELL = 5
SUFFIX = f"(?i)({'|'.join(re.escape(one) for one in sorted(IMAGE_SUFFIXES, reverse=True))})$"
SIDE = 168
SHOWN = 60


@dataclass(frozen=True)
class Checked:
    """Galaxies with a known inclination and an answer.

    Attributes
    ----------
    frame
        The predictions of ``n`` galaxies, with their known inclination as ``truth``.
    unanswered
        Galaxies of known inclination that the table of predictions gives none for, by reason.
    """

    frame: pl.DataFrame
    unanswered: dict[str, int]

    @property
    def measured(self) -> Measured:
        """Truth and answers."""
        wider = WIDER if set(WIDER) <= set(self.frame.columns) else None
        bounds = [*ANSWER[3:], *(wider or ())]
        columns = [_numbers(self.frame[name]) for name in ("truth", ANSWER[2], *bounds)]
        unknown = np.full(self.frame.height, np.nan)
        return Measured(*columns, *([] if wider else [unknown, unknown]))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether the model takes each for a disc; all, if it says nothing of that."""
        if "reject" not in self.frame.columns:
            return np.ones(self.frame.height, bool)
        reject = self.frame["reject"]
        # The reason, and nothing where it is kept; or, in tables of other hands, true and false.
        told = reject if reject.dtype == pl.Boolean else reject.cast(pl.String).fill_null("") != ""
        return ~told.fill_null(False).to_numpy()


def judge(
    predictions: Path,
    known: Path,
    *,
    column: str,
    out: Path,
    id_column: str = "",
    q0: float = USUAL,
) -> dict[str, Any]:
    """Compare predicted inclinations with known ones; write a page, and its numbers beside it.

    Nothing is fitted here: the intervals are those of the table, and the ellipse formula takes the
    thickness it is told.

    Parameters
    ----------
    predictions
        Table that ``morphoscope predict`` wrote.
    known
        Table with inclinations (deg).
    column
        Its column of inclinations; of several, with commas between, the first that has a value.
    out
        The page; the numbers stand beside it as ``.json``.
    id_column
        Column of `known` with the names or the files of the predictions; empty: the one that fits.
    q0
        Thickness of the discs for the ellipse formula.

    Returns
    -------
    dict
        ``n``, ``rms``, ``mae``, ``bias`` and ``coverage_68`` with intervals, ``headline``,
        ``unanswered``, ``page`` and ``numbers``.

    Raises
    ------
    CatalogueError
        A table or a column is absent, the tables have no galaxy in common, a known inclination is
        no angle between 0 and 90°, or they look like radians.
    """
    table = _predictions(predictions)
    checked = match(table, known_inclinations(known, column, id_column), known)
    metrics = _scores(checked, q0)
    stem = str(out).removesuffix(".json").removesuffix(".html")
    page, numbers = Path(f"{stem}.html"), Path(f"{stem}.json")
    metrics["sources"] = [str(predictions), f"{known} ({column})"]
    with atomic_path(numbers) as path:
        path.write_text(json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False))
    with atomic_path(page) as path:
        path.write_text(_render(checked, metrics), encoding="utf-8")
    return {
        "n": metrics["n"],
        **{name: metrics["scores"][name] for name in ("rms", "mae", "bias", "coverage_68")},
        "headline": " ".join(metrics["headline"]),
        "unanswered": checked.unanswered,
        "page": str(page),
        "numbers": str(numbers),
    }


def known_inclinations(path: Path, column: str, id_column: str = "") -> pl.DataFrame:
    """Read inclinations that people measured.

    Parameters
    ----------
    path
        Table.
    column
        Column of inclinations (deg); of several, with commas between, the first with a value.
    id_column
        Column that names the galaxies; empty: any other column may.

    Returns
    -------
    polars.DataFrame
        ``truth`` (deg) and the columns that may name the galaxies, as text; only rows with a value.

    Raises
    ------
    CatalogueError
        A column is absent or holds no numbers, a value is not in 0 … 90, or all of five and more
        are so small that they are radians.
    """
    named = [name.strip() for name in column.split(",") if name.strip()]
    if not named:
        raise CatalogueError("no column of known inclinations is named", do="give --column")
    frame = read_table(path)
    require_columns(frame, (*named, *([id_column] if id_column else [])), where=str(path))
    try:
        values = frame.select(
            pl.coalesce(pl.col(name).cast(pl.Float64).fill_nan(None) for name in named)
        ).to_series()
    except pl.exceptions.InvalidOperationError as error:
        told = str(error).partition("\n")[0]
        raise CatalogueError(
            f"{path} has text among the inclinations of {column} ({told})",
            expected="degrees, or nothing",
        ) from error
    others = [id_column] if id_column else [n for n in frame.columns if n not in named]
    frame = frame.select(pl.col(others).cast(pl.String)).with_columns(values.alias("truth"))
    frame = frame.filter(pl.col("truth").is_not_null())
    _check_degrees(frame["truth"].to_numpy(), path, column)
    return frame


def match(table: pl.DataFrame, known: pl.DataFrame, path: Path) -> Checked:
    """Bring predictions and known inclinations of the same galaxies together.

    A galaxy is known by its name (``id_str``) or by the name of its file, with or without folder
    and suffix. Of several columns that may hold it, the one that finds most counts.

    Parameters
    ----------
    table
        Predictions.
    known
        As from `known_inclinations`.
    path
        Where the latter came from, for messages.

    Raises
    ------
    CatalogueError
        No galaxy is common, or one is there twice.
    """
    names, stems = table["id_str"].cast(pl.String), _stems(table["file_loc"])
    found = [
        pair
        for name in known.columns
        if name != "truth"
        for pair in ((known[name], names), (_stems(known[name]), stems))
    ]
    hits = [int(wanted.drop_nulls().is_in(keys.to_list()).sum()) for wanted, keys in found]
    if not hits or not max(hits):
        raise CatalogueError(
            f"no galaxy of {path} is among the predictions",
            expected=f"names like {table['id_str'][0]!r} or files like {table['file_loc'][0]!r}",
            do="name the right column with --id-column",
        )
    wanted, keys = found[hits.index(max(hits))]
    both = known.select("truth").with_columns(wanted.alias("key"))
    joined = both.join(table.with_columns(keys.alias("key")), on="key", how="left")
    twice = joined.filter(pl.col("id_str").is_not_null() & pl.col("key").is_duplicated())
    if twice.height:
        raise CatalogueError(
            f"the galaxy {twice['key'][0]!r} is there twice",
            expected="one known inclination and one prediction for a galaxy",
            do="mend the tables, or name a column of unique names with --id-column",
        )
    return _answered(joined)


def _answered(joined: pl.DataFrame) -> Checked:
    absent = joined["id_str"].is_null()
    # A value without an interval is no answer.
    whole = pl.all_horizontal(pl.col(name).cast(pl.Float64).is_finite() for name in ANSWER[2:])
    answered = joined.select(whole.fill_null(False)).to_series()
    reason = pl.Series("reason", ["no answer"] * joined.height)
    if "flag" in joined.columns:
        reason = joined["flag"].cast(pl.String).fill_null("no answer")
    reason = pl.select(
        pl.when(absent).then(pl.lit("not among the predictions")).otherwise(reason)
    ).to_series()
    counts = reason.filter(~answered).value_counts().rows()
    if not answered.any():
        raise CatalogueError("no galaxy of known inclination has a predicted one", counts=counts)
    return Checked(joined.filter(answered).drop("key"), {name: int(n) for name, n in counts})


def _predictions(path: Path) -> pl.DataFrame:
    frame = read_table(path)
    require_columns(frame, ANSWER, where=str(path))
    said = frame["inclination"].cast(pl.Float64)
    _check_degrees(said.filter(said.is_finite()).to_numpy(), path, "inclination")
    return frame


def _check_degrees(values: Floats, path: Path, column: str) -> None:
    outside = values[(values < 0) | (values > 90)]
    if len(outside):
        raise CatalogueError(
            f"{path} has {len(outside)} inclinations outside 0 … 90, such as {outside[0]:g}",
            expected="degrees from 0, face-on, to 90, edge-on",
            do=f"mend {column}",
        )
    if len(values) >= ENOUGH_TO_TELL and values.max() <= math.pi / 2:
        raise CatalogueError(
            f"all {len(values)} inclinations of {path} are {values.max():.3g} or less: they look "
            "like radians",
            expected="degrees",
            do="multiply them by 180 / π",
        )
    if not len(values):
        raise CatalogueError(f"{path} has no value in {column}", expected="at least one")


def _scores(checked: Checked, q0: float) -> dict[str, Any]:
    """Every number of the page."""
    measured, kept = checked.measured, checked.kept
    draws = draw(len(measured), None, RESAMPLING)
    ratios = measure_ratios(checked.frame["file_loc"].to_list())
    middle = float(np.median(measured.truth))
    ways = {
        f"ellipse formula ({name}, q0 = {q0:g})": inclination(ratios[name].to_numpy(), q0)
        for name in RATIOS
    }
    ways[f"always {wording.degrees(middle, 0)}, the median of these"] = np.full(len(kept), middle)
    scores = score_measured(measured, draws)
    # Exact, where resampling of few galaxies would be too narrow.
    scores["coverage_68"] = counted(measured.held_68, draws.confidence)
    metrics: dict[str, Any] = {
        "n": len(measured),
        "unanswered": checked.unanswered,
        "scores": scores,
        "kept": _part(measured, draws, kept) if not kept.all() else None,
        "rejected": int((~kept).sum()),
        "ways": [
            {"title": title, **found}
            for title, other in ways.items()
            if (found := compare(measured.truth, measured.value, other, draws))
        ],
        "not_measured": unmeasured(ratios, RATIOS[0]),
        "galaxies": _galaxies(checked, ways),
    }
    metrics["headline"] = wording.outside_headline(metrics)
    return metrics


def _part(measured: Measured, draws: Draws, chosen: NDArray[np.bool_]) -> dict[str, Any] | None:
    return score_measured(measured.take(chosen), draws.take(chosen)) if chosen.any() else None


def _galaxies(checked: Checked, ways: dict[str, Floats]) -> list[dict[str, Any]]:
    """One entry a galaxy, the furthest off first."""
    measured, frame = checked.measured, checked.frame
    formula = next(iter(ways.values()))
    error = measured.value - measured.truth
    return [
        {
            "id_str": str(frame["id_str"][at]),
            "file_loc": frame["file_loc"][at],
            "truth": float(measured.truth[at]),
            "value": float(measured.value[at]),
            "low": float(measured.low[at]),
            "high": float(measured.high[at]),
            "held": bool(measured.held_68[at]),
            "formula": float(formula[at]) if np.isfinite(formula[at]) else None,
            "rejected": not bool(checked.kept[at]),
        }
        for at in np.argsort(-np.abs(error), kind="stable").tolist()
    ]


def _render(checked: Checked, metrics: dict[str, Any]) -> str:
    plots = {
        "scatter": Markup(figures.scatter_plot(checked.measured, "known inclination")),
        "residual": Markup(figures.residual_plot(checked.measured, "known inclination")),
    }
    cards = [{**one, "picture": _picture(one["file_loc"])} for one in metrics["galaxies"][:SHOWN]]
    return (
        environment(PAGE)
        .get_template("judge.html")
        .render(
            **words(),
            metrics=metrics,
            cards=cards_of(metrics["scores"], metrics["scores"]),
            shown=cards,
            plots=plots,
            cautions=wording.outside_cautions(metrics),
            confidence=RESAMPLING.confidence,
            samples=RESAMPLING.samples,
            versions=versions(),
        )
    )


def _picture(file_loc: str) -> str:
    """Picture of a file, or nothing where it is none that a page can show."""
    try:
        pixels = read_image(file_loc, at_least=SIDE)
    except ImageError:
        return ""
    if pixels.dtype != np.uint8:
        return ""
    grey = pixels.shape[2] == 1
    return embed(np.repeat(pixels, 3, axis=2) if grey else pixels, side=SIDE)


def _numbers(series: pl.Series) -> Floats:
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _stems(files: pl.Series) -> pl.Series:
    """Names of files without folder and suffix."""
    return files.str.split("/").list.last().str.replace(SUFFIX, "")
