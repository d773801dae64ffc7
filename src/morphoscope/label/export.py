"""Labels for everybody: what people agree on, one row a galaxy, and every single vote beside it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from morphoscope.catalog import TABLE_SUFFIXES, write_table
from morphoscope.errors import CampaignError
from morphoscope.label.ballots import Ballots, ballots_of
from morphoscope.label.consensus import angle_consensus, answer_consensus, reject_consensus
from morphoscope.label.desk import Desk

__all__ = ["export", "labels_of", "votes_of"]


def export(desk: Desk, out: Path) -> dict[Path, int]:
    """Write labels and votes.

    Parameters
    ----------
    desk
        A campaign; people may go on voting.
    out
        Table of labels, in the format that its name says; the votes go beside it, under its name
        with ``-votes``.

    Returns
    -------
    dict
        Rows of each file.

    Raises
    ------
    CampaignError
        The name ends in no known format.
    """
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise CampaignError(
            f"{out} ends in no known format", expected=", ".join(sorted(TABLE_SUFFIXES))
        )
    ballots = ballots_of(desk)
    campaign = desk.campaign
    metadata = {
        "campaign": campaign.name,
        "task": campaign.task,
        "agreement": campaign.agreement.model_dump(),
        "votes": ballots.votes.height,
    }
    tables = {
        out: labels_of(desk, ballots),
        out.with_name(f"{out.stem}-votes{out.suffix}"): votes_of(ballots),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, table in tables.items():
        write_table(path, table, metadata)
    return {path: table.height for path, table in tables.items()}


def votes_of(ballots: Ballots) -> pl.DataFrame:
    """Every vote that counts, raters by pseudonym, moments as text.

    A note that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    runs = pl.col("note").str.contains(r"^[=+\-@\t\r]")
    note = pl.when(runs).then("'" + pl.col("note")).otherwise("note").alias("note")
    return ballots.votes.rename({"subject": "id_str"}).with_columns(
        pl.col("received").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), note
    )


def labels_of(desk: Desk, ballots: Ballots) -> pl.DataFrame:
    """What people say of each galaxy, gold ones left out.

    Returns
    -------
    DataFrame
        ``id_str``, ``file_loc``, ``state`` (``open``, ``done``, ``disputed``, ``settled``),
        ``drawn`` (``random``: such galaxies are a fair sample), ``votes``, ``p_reject``,
        ``reject_fraction``, ``reason`` (the one given most often, by whoever rejected it). Of
        inclinations ``inclination`` and ``uncertainty`` (deg), ``spread``,
        ``median``; where an expert decided, that answer. Of trees for each question its answer,
        ``_p`` its probability, and ``_f_ANSWER`` the fractions of the votes as they were given.
    """
    rows = [one for one in desk.subjects() if one["state"] != "gold"]
    columns = {"id_str": "id", "file_loc": "file", "state": "state", "drawn": "drawn"}
    table = pl.DataFrame(
        {name: [row[key] for row in rows] for name, key in columns.items()}
        | {"votes": [row["votes"] for row in rows]},
        schema={**dict.fromkeys(columns, pl.String), "votes": pl.Int64},
    )
    crowd = ballots.votes.filter(~pl.col("settles"))
    verdicts = ballots.votes.filter("settles")
    rejected = reject_consensus(crowd.select("rater", "subject", "reject"))
    found = rejected.select(
        pl.col("subject").alias("id_str"), "p_reject", pl.col("fraction").alias("reject_fraction")
    )
    table = table.join(found, on="id_str", how="left", maintain_order="left")
    decided = verdicts.select("subject", pl.col("reject").cast(pl.Float64).alias("said"))
    table = _overruled(table, decided, verdicts, "p_reject")
    table = table.join(_reasons(crowd, verdicts), on="id_str", how="left", maintain_order="left")
    if desk.tree is None:
        return _with_angles(table, ballots, crowd, verdicts)
    asked = {question.key: [a.key for a in question.answers] for question in desk.tree.questions}
    return _with_answers(table, ballots, asked)


def _reasons(crowd: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """The reason that was given most often, of equals the first in the alphabet; an expert's."""
    settled = verdicts["subject"].implode()
    counting = pl.concat([crowd.filter(~pl.col("subject").is_in(settled)), verdicts])
    single = counting.filter("reject").select(
        pl.col("subject").alias("id_str"), pl.col("reasons").str.split("|").alias("reason")
    )
    counted = single.explode("reason").group_by("id_str", "reason").len()
    ordered = counted.sort(["id_str", "len", "reason"], descending=[False, True, False])
    return ordered.unique("id_str", keep="first", maintain_order=True).drop("len")


def _overruled(
    table: pl.DataFrame, decided: pl.DataFrame, verdicts: pl.DataFrame, *columns: str
) -> pl.DataFrame:
    """Replace what the crowd said of settled galaxies by what the expert said: ``said``, or null.

    The further columns say how sure that is. Disputed galaxies are the hardest ones: they are no
    measure of the others' votes elsewhere.
    """
    said = decided.rename({"subject": "id_str"})
    table = table.join(said, on="id_str", how="left", maintain_order="left")
    settled = pl.col("id_str").is_in(verdicts["subject"].implode())
    sure = {"uncertainty": 0.0}
    for column in columns:
        own = pl.col("said")
        if column != columns[0]:
            own = pl.when(own.is_not_null()).then(sure.get(column, 1.0))
        table = table.with_columns(pl.when(settled).then(own).otherwise(column).alias(column))
    return table.drop("said")


def _with_angles(
    table: pl.DataFrame, ballots: Ballots, crowd: pl.DataFrame, verdicts: pl.DataFrame
) -> pl.DataFrame:
    found = angle_consensus(crowd, ballots.gold_angles).subjects
    found = found.select("subject", "inclination", "uncertainty", "spread", "median")
    table = table.join(
        found.rename({"subject": "id_str"}), on="id_str", how="left", maintain_order="left"
    )
    decided = verdicts.select("subject", pl.col("inclination").alias("said"))
    return _overruled(table, decided, verdicts, "inclination", "uncertainty")


def _with_answers(
    table: pl.DataFrame, ballots: Ballots, asked: dict[str, list[str]]
) -> pl.DataFrame:
    verdicts = ballots.votes.filter("settles")
    experts = verdicts.select("rater", "subject")
    crowd = ballots.answers.join(experts, on=["rater", "subject"], how="anti")
    decided = ballots.answers.join(experts, on=["rater", "subject"]).rename({"answer": "said"})
    found = answer_consensus(crowd, ballots.gold_answers, asked)
    for question, answers in asked.items():
        best = found.subjects.filter(pl.col("question") == question)
        part = best.select(
            pl.col("subject").alias("id_str"),
            pl.col("answer").alias(question),
            pl.col("probability").alias(f"{question}_p"),
            pl.col("n").alias(f"{question}_n"),
        )
        fractions = found.answers.filter(pl.col("question") == question)
        for answer in answers:
            one = fractions.filter(pl.col("answer") == answer).select(
                pl.col("subject").alias("id_str"),
                pl.col("vote_fraction").alias(f"{question}_f_{answer}"),
            )
            part = part.join(one, on="id_str", how="left")
        table = table.join(part, on="id_str", how="left", maintain_order="left")
        said = decided.filter(pl.col("question") == question).select("subject", "said")
        # A question that the expert did not come to has no answer there, whatever others said.
        table = _overruled(table, said, verdicts, question, f"{question}_p")
    return table
