"""What a coordinator wants to know: how far, how fast, how well people agree, and who does not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from morphoscope.evaluate.binomial import exact_interval
from morphoscope.label.ballots import Ballots, ballots_of
from morphoscope.label.consensus import (
    angle_alpha,
    angle_consensus,
    answer_alpha,
    answer_consensus,
    pair_difference,
)
from morphoscope.label.desk import Desk
from morphoscope.label.progress import progress
from morphoscope.label.teaching import RANDOM, TEACHING

__all__ = ["statistics"]

CONFIDENCE = 0.95
DISPUTES = 100
BIN_DEG = 2.5
MOST_DEG = 40.0
# Flagged beyond: a scatter so many times the usual one, or right in fewer than half as many cases.
UNUSUAL = 2.0
FEWEST = 10


def statistics(desk: Desk) -> dict[str, Any]:
    """Gather what the dashboard shows.

    Parameters
    ----------
    desk
        A campaign.

    Returns
    -------
    dict
        ``progress`` (`morphoscope.label.progress`), ``agreement`` (``of``: ``random`` where a part
        of the galaxies was chosen by what teaches, and only the others are a fair sample, else
        ``all``; ``pair_rms_deg``: r.m.s. difference of two people with its interval; ``alpha`` of
        each question; ``differences``: pairs of votes by their difference), ``raters``,
        ``disputes``.
    """
    ballots = ballots_of(desk)
    subjects = desk.subjects()
    of, fair = _fair(ballots, subjects)
    agreement = _angles(fair) if desk.tree is None else _answers(fair)
    disputed = [one for one in subjects if one["state"] == "disputed"]
    return {
        "progress": progress(desk),
        "agreement": {"of": of, **agreement},
        "raters": _raters(desk, ballots),
        "disputes": [{"id": one["id"], "votes": one["votes"]} for one in disputed[:DISPUTES]],
    }


def _fair(ballots: Ballots, subjects: list[dict[str, Any]]) -> tuple[str, Ballots]:
    """The votes on galaxies that nobody chose: doubtful ones would pass for a lack of agreement."""
    if all(one["drawn"] != TEACHING for one in subjects):
        return "all", ballots
    named = [one["id"] for one in subjects if one["drawn"] == RANDOM]
    fair = pl.col("subject").is_in(named)
    return RANDOM, replace(
        ballots, votes=ballots.votes.filter(fair), answers=ballots.answers.filter(fair)
    )


def _angles(ballots: Ballots) -> dict[str, Any]:
    votes = ballots.votes.filter(pl.col("inclination").is_not_null())
    pairs, alpha = pair_difference(votes), angle_alpha(votes)
    return {
        "pair_rms_deg": _interval(pairs),
        "alpha": [{"question": "inclination", **(_interval(alpha) or {})}] if alpha.n else [],
        "differences": _differences(votes),
    }


def _answers(ballots: Ballots) -> dict[str, Any]:
    found = answer_alpha(ballots.answers)
    alpha = [
        {"question": question, **told}
        for question, value in found.items()
        if (told := _interval(value)) is not None
    ]
    return {"pair_rms_deg": None, "alpha": alpha, "differences": []}


def _interval(value: Any) -> dict[str, Any] | None:
    if not math.isfinite(value.value):
        return None
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}


def _differences(votes: pl.DataFrame) -> list[list[float]]:
    """Pairs of votes on one galaxy, counted by how far they are apart (deg)."""
    slim = votes.select("subject", "rater", "inclination")
    pairs = slim.join(slim, on="subject").filter(pl.col("rater") < pl.col("rater_right"))
    apart = (pairs["inclination"] - pairs["inclination_right"]).abs().to_numpy()
    if not len(apart):
        return []
    edges = np.arange(0, MOST_DEG + BIN_DEG, BIN_DEG)
    counts, _ = np.histogram(np.minimum(apart, MOST_DEG - BIN_DEG / 2), edges)
    return [[float(edge), int(n)] for edge, n in zip(edges, counts, strict=False)]


def _raters(desk: Desk, ballots: Ballots) -> list[dict[str, Any]]:
    fitted = _fitted(desk, ballots)
    basic = ballots.votes.group_by("rater").agg(
        pl.len().alias("votes"), pl.col("seconds").median().alias("seconds_median")
    )
    told = {row["rater"]: row for row in basic.iter_rows(named=True)}
    rows = []
    for person in desk.people.all():
        rater = ballots.people.get(person.id)
        if rater is None:
            continue
        row = {"name": person.name or rater, "rater": rater, "role": person.role}
        rows.append(row | told[rater] | fitted.get(rater, {"flag": None}))
    return sorted(rows, key=lambda row: -int(row["votes"]))


def _fitted(desk: Desk, ballots: Ballots) -> dict[str, dict[str, Any]]:
    return _fitted_angles(ballots) if desk.tree is None else _fitted_answers(ballots)


def _fitted_angles(ballots: Ballots) -> dict[str, dict[str, Any]]:
    table = angle_consensus(ballots.votes, ballots.gold_angles).raters
    usual = table["scatter"].median() if table.height else None
    rows = {}
    for row in table.iter_rows(named=True):
        wide = row["n"] >= FEWEST and row["scatter"] > UNUSUAL * float(usual or 0)  # type: ignore[arg-type]
        gold = {"n": row["n_gold"], "error": row["gold_error"]}
        rows[str(row["rater"])] = {
            "scale": row["scale"],
            "offset": row["offset"],
            "scatter": row["scatter"],
            "gold": gold,
            "flag": "scatters" if wide else None,
        }
    return rows


def _fitted_answers(ballots: Ballots) -> dict[str, dict[str, Any]]:
    table = answer_consensus(ballots.answers, ballots.gold_answers).raters
    if not table.height:
        return {}
    summed = table.group_by("rater", maintain_order=True).agg(
        (pl.col("accuracy") * pl.col("n")).sum() / pl.col("n").sum(),
        (pl.col("agreed") * pl.col("n")).sum() / pl.col("n").sum(),
        pl.col("n", "n_gold", "gold_right").sum(),
    )
    usual = float(summed["accuracy"].median())  # type: ignore[arg-type]
    rows = {}
    for row in summed.iter_rows(named=True):
        n, right = int(row["n_gold"]), int(row["gold_right"])
        low, high = exact_interval(right, n, CONFIDENCE) if n else (None, None)
        gold = {"n": n, "accuracy": right / n if n else None, "low": low, "high": high}
        errs = row["n"] >= FEWEST and 1 - row["accuracy"] > UNUSUAL * max(1 - usual, 0.05)
        rows[str(row["rater"])] = {
            "accuracy": row["accuracy"],
            "agreed": row["agreed"],
            "gold": gold,
            "flag": "errs often" if errs else None,
        }
    return rows
