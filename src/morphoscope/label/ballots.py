"""The votes of a campaign as tables: one row a vote, or one an answer; raters by pseudonym."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from morphoscope.label.desk import Desk
from morphoscope.label.votes import REJECTED

__all__ = ["Ballots", "ballots_of"]

PSEUDONYM_LENGTH = 12
VOTES: dict[str, Any] = {
    "key": pl.String,
    "rater": pl.String,
    "subject": pl.String,
    "inclination": pl.Float64,
    "answers": pl.String,
    "reject": pl.Boolean,
    "reasons": pl.String,
    "note": pl.String,
    "seconds": pl.Float64,
    "received": pl.Datetime("us"),
    "settles": pl.Boolean,
}
GOLD: dict[str, Any] = {"subject": pl.String, "inclination": pl.Float64}
ANSWERS: dict[str, Any] = dict.fromkeys(("rater", "subject", "question", "answer"), pl.String)


@dataclass(frozen=True)
class Ballots:
    """The votes that count, and what is known already.

    Attributes
    ----------
    votes
        One row a vote: ``key``, ``rater`` (pseudonym), ``subject``, ``inclination`` (deg),
        ``answers`` (``question=answer|…``), ``reject``, ``reasons`` (``a|b``), ``note``,
        ``seconds``, ``received`` (UTC), ``settles``.
    answers
        One row an answer: ``rater``, ``subject``, ``question``, ``answer``.
    gold_angles, gold_answers
        Of the hidden galaxies: ``subject``, ``inclination``; ``subject``, ``question``,
        ``answer``.
    people
        Pseudonym of each person's id.
    """

    votes: pl.DataFrame
    answers: pl.DataFrame
    gold_angles: pl.DataFrame
    gold_answers: pl.DataFrame
    people: dict[str, str]


def ballots_of(desk: Desk) -> Ballots:
    """Read all votes that count.

    Parameters
    ----------
    desk
        A campaign; its pseudonyms are the same in every export, and tell nothing to others.
    """
    key = str(desk.facts()["pseudonyms"])
    rows = desk.votes()
    people = {id_: _pseudonym(key, id_) for id_ in dict.fromkeys(row["person"] for row in rows)}
    votes = [_vote(row, people[row["person"]]) for row in rows]
    answers = [
        {"rater": people[row["person"]], "subject": row["subject"], "question": q, "answer": a}
        for row in rows
        for q, a in row["content"].get("answers", [])
    ]
    known = {one["id"]: one["gold"] for one in desk.subjects() if one["gold"]}
    return Ballots(
        pl.DataFrame(votes, schema=VOTES),
        pl.DataFrame(answers, schema=ANSWERS),
        *_gold(known.items()),
        people,
    )


def _vote(row: dict[str, Any], rater: str) -> dict[str, Any]:
    content = row["content"]
    answers = content.get("answers")
    return {
        "key": row["key"],
        "rater": rater,
        "subject": row["subject"],
        "inclination": content.get("inclination"),
        "answers": "|".join(f"{q}={a}" for q, a in answers) if answers else None,
        "reject": REJECTED in content,
        "reasons": "|".join(content.get(REJECTED, [])) or None,
        "note": row["note"] or None,
        "seconds": row["seconds"],
        "received": row["received"],
        "settles": row["settles"],
    }


def _gold(known: Iterable[tuple[str, dict[str, Any]]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    angles, answers = [], []
    for subject, answer in known:
        if "inclination" in answer:
            angles.append({"subject": subject, "inclination": answer["inclination"]})
        for q, a in answer.get("answers", {}).items():
            answers.append({"subject": subject, "question": q, "answer": a})
    schema = {name: kind for name, kind in ANSWERS.items() if name != "rater"}
    return pl.DataFrame(angles, schema=GOLD), pl.DataFrame(answers, schema=schema)


def _pseudonym(key: str, person: str) -> str:
    return hmac.new(key.encode(), person.encode(), hashlib.sha256).hexdigest()[:PSEUDONYM_LENGTH]
