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
    """Every vote that counts, raters by pseudonym, moments as text."""
    return ballots.votes.rename({"subject": "id_str"}).with_columns(
        pl.col("received").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
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
    rejected = reject_consensus(ballots.votes.select("rater", "subject", "reject"))
    found = rejected.select(
        pl.col("subject").alias("id_str"), "p_reject", pl.col("fraction").alias("reject_fraction")
    )
    table = table.join(found, on="id_str", how="left", maintain_order="left")
    table = table.join(_reasons(ballots), on="id_str", how="left", maintain_order="left")
    if desk.tree is None:
        return _with_angles(table, ballots)
    return _with_answers(
        table, ballots, {q.key: [a.key for a in q.answers] for q in desk.tree.questions}
    )


def _reasons(ballots: Ballots) -> pl.DataFrame:
    """The reason that was given most often; of equals the first in the alphabet."""
    single = ballots.votes.filter("reject").select(
        pl.col("subject").alias("id_str"), pl.col("reasons").str.split("|").alias("reason")
    )
    counted = single.explode("reason").group_by("id_str", "reason").len()
    ordered = counted.sort(["id_str", "len", "reason"], descending=[False, True, False])
    return ordered.unique("id_str", keep="first", maintain_order=True).drop("len")


def _with_angles(table: pl.DataFrame, ballots: Ballots) -> pl.DataFrame:
    found = angle_consensus(ballots.votes, ballots.gold_angles).subjects
    found = found.select("subject", "inclination", "uncertainty", "spread", "median")
    table = table.join(
        found.rename({"subject": "id_str"}), on="id_str", how="left", maintain_order="left"
    )
    decided = ballots.votes.filter("settles").select(
        pl.col("subject").alias("id_str"), pl.col("inclination").alias("expert")
    )
    table = table.join(decided, on="id_str", how="left", maintain_order="left")
    return table.with_columns(pl.coalesce("expert", "inclination").alias("inclination"))


def _with_answers(
    table: pl.DataFrame, ballots: Ballots, asked: dict[str, list[str]]
) -> pl.DataFrame:
    found = answer_consensus(ballots.answers, ballots.gold_answers, asked)
    decided = _decided(ballots)
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
        expert = decided.filter(pl.col("question") == question).select("id_str", "expert")
        table = (
            table.join(expert, on="id_str", how="left", maintain_order="left")
            .with_columns(pl.coalesce("expert", question).alias(question))
            .drop("expert")
        )
    return table


def _decided(ballots: Ballots) -> pl.DataFrame:
    """Answers of experts about galaxies on which the others did not agree."""
    experts = ballots.votes.filter("settles").select("rater", "subject")
    return ballots.answers.join(experts, on=["rater", "subject"]).select(
        pl.col("subject").alias("id_str"), "question", pl.col("answer").alias("expert")
    )
