"""What a model may learn from a campaign: the galaxies that people have done with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from morphoscope.catalog import write_catalogue
from morphoscope.errors import CampaignError
from morphoscope.label.ballots import ballots_of
from morphoscope.label.desk import Desk
from morphoscope.label.export import labels_of

__all__ = ["Lesson", "write_lesson"]

FINISHED = ("done", "settled")
REJECT = "class"
# Classes of the models of inclinations by the reasons of people; other reasons are no class.
CLASS_OF_REASON = {
    "disturbed": "disturbed",
    "not_a_spiral": "not_disc",
    "bad_image": "not_galaxy",
}


@dataclass(frozen=True)
class Lesson:
    """Labels for a training.

    Attributes
    ----------
    table
        Parquet file of ``id_str``, ``file_loc`` and the labels.
    column
        Of classes, or of inclinations (deg).
    reject
        Of classes beside inclinations; empty where classes are learnt.
    galaxies
        How many it has.
    """

    table: Path
    column: str
    reject: str
    galaxies: int


def write_lesson(desk: Desk, question: str = "") -> Lesson:
    """Write what people have settled, for `morphoscope retrain`.

    Parameters
    ----------
    desk
        A campaign.
    question
        Of a tree: the question whose answers are the classes; empty: its first.

    Raises
    ------
    CampaignError
        The tree has no such question, or no galaxy is done yet.
    """
    tree = desk.tree
    column = "inclination" if tree is None else question or tree.first
    if tree is not None and column not in tree.of:
        raise CampaignError(
            f"there is no question {column!r}", expected=f"one of {', '.join(tree.of)}"
        )
    table = labels_of(desk, ballots_of(desk)).filter(pl.col("state").is_in(FINISHED))
    passed = pl.col("p_reject") > 0.5
    lesson = table.select("id_str", "file_loc", pl.when(~passed).then(pl.col(column)).alias(column))
    if tree is None:
        as_class = pl.col("reason").replace_strict(CLASS_OF_REASON, default=None)
        lesson = lesson.with_columns(table.select(pl.when(passed).then(as_class).alias(REJECT)))
    lesson = lesson.filter(pl.any_horizontal(pl.exclude("id_str", "file_loc").is_not_null()))
    if not lesson.height:
        raise CampaignError(
            f"no galaxy of {desk.campaign.name} has a label yet",
            expected="galaxies on which people agree",
            do=f"morphoscope label status {desk.campaign.file}",
        )
    path = desk.campaign.folder / "lesson.parquet"
    facts = {"campaign": desk.campaign.name, "column": column}
    write_catalogue(path, lesson, facts)
    return Lesson(path, column, REJECT if tree is None else "", lesson.height)
