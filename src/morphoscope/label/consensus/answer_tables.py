"""The tables that say which answers people agreed on, and how well each of them answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.label.consensus.confusions import AnswerVotes, Confusions

__all__ = ["Question", "stack", "tabulate"]

Integers = NDArray[np.int64]
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]
SUBJECTS: dict[str, Any] = {
    "subject": pl.String,
    "question": pl.String,
    "answer": pl.String,
    "probability": pl.Float64,
    "n": pl.Int64,
    "gold": pl.Boolean,
}
ANSWERS: dict[str, Any] = {
    "subject": pl.String,
    "question": pl.String,
    "answer": pl.String,
    "probability": pl.Float64,
    "vote_fraction": pl.Float64,
    "votes": pl.Int64,
}
RATERS: dict[str, Any] = {
    "rater": pl.String,
    "question": pl.String,
    "n": pl.Int64,
    "accuracy": pl.Float64,
    "agreed": pl.Float64,
    "n_gold": pl.Int64,
    "gold_right": pl.Int64,
}
CONFUSIONS: dict[str, Any] = {
    "rater": pl.String,
    "question": pl.String,
    "right": pl.String,
    "given": pl.String,
    "share": pl.Float64,
    "votes": pl.Float64,
}


@dataclass(frozen=True)
class Question:
    """A question, with the names that the numbers of its votes stand for."""

    name: str
    subjects: pl.Series
    answers: pl.Series
    raters: pl.Series
    votes: AnswerVotes


def stack(tables: Sequence[Tables]) -> Tables:
    """Put the tables of all questions under each other; of none they are empty."""
    empty = tuple(pl.DataFrame(schema=one) for one in (SUBJECTS, ANSWERS, RATERS, CONFUSIONS))
    subjects, answers, raters, confusions = (
        pl.concat(parts) for parts in zip(empty, *tables, strict=True)
    )
    return subjects, answers, raters, confusions


def tabulate(question: Question, fit: Confusions) -> Tables:
    """Name what was found about one question."""
    return (
        _subjects(question, fit),
        _answers(question, fit),
        _raters(question, fit),
        _confusions(question, fit),
    )


def _subjects(question: Question, fit: Confusions) -> pl.DataFrame:
    votes = question.votes
    found: dict[str, Any] = {
        "subject": question.subjects,
        "question": [question.name] * len(question.subjects),
        "answer": question.answers.gather(fit.right.argmax(1)),
        "probability": fit.right.max(1),
        "n": np.bincount(votes.subject),
        "gold": votes.known >= 0,
    }
    return pl.DataFrame(found, schema=SUBJECTS)


def _answers(question: Question, fit: Confusions) -> pl.DataFrame:
    votes, (subjects, k) = question.votes, fit.right.shape
    counts = np.bincount(votes.subject * k + votes.answer, minlength=subjects * k)
    n = np.bincount(votes.subject)
    found: dict[str, Any] = {
        "subject": question.subjects.gather(np.repeat(np.arange(subjects), k)),
        "question": [question.name] * (subjects * k),
        "answer": question.answers.gather(np.tile(np.arange(k), subjects)),
        "probability": fit.right.ravel(),
        "vote_fraction": counts / np.repeat(n, k),
        "votes": counts,
    }
    return pl.DataFrame(found, schema=ANSWERS)


def _raters(question: Question, fit: Confusions) -> pl.DataFrame:
    votes, many = question.votes, question.votes.raters

    def count(which: NDArray[np.bool_]) -> Integers:
        return np.bincount(votes.rater[which], minlength=many)

    known = votes.known[votes.subject]
    n = count(np.ones(len(known), bool))
    at = np.flatnonzero(n)
    often = fit.right.mean(0)
    found: dict[str, Any] = {
        "rater": question.raters.gather(at),
        "question": [question.name] * len(at),
        "n": n[at],
        "accuracy": (np.diagonal(fit.own, axis1=1, axis2=2) @ often)[at],
        "agreed": count(fit.right.argmax(1)[votes.subject] == votes.answer)[at] / n[at],
        "n_gold": count(known >= 0)[at],
        "gold_right": count(known == votes.answer)[at],
    }
    return pl.DataFrame(found, schema=RATERS)


def _confusions(question: Question, fit: Confusions) -> pl.DataFrame:
    k = len(question.answers)
    at = np.flatnonzero(np.bincount(question.votes.rater, minlength=question.votes.raters))
    cells = np.arange(len(at) * k * k)
    found: dict[str, Any] = {
        "rater": question.raters.gather(at[cells // (k * k)]),
        "question": [question.name] * len(cells),
        "right": question.answers.gather(cells // k % k),
        "given": question.answers.gather(cells % k),
        "share": fit.own[at].ravel(),
        "votes": fit.counts[at].ravel(),
    }
    return pl.DataFrame(found, schema=CONFUSIONS)
