"""One answer to a question about a galaxy from those that people gave, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import require_columns
from morphoscope.errors import VoteError
from morphoscope.label.consensus.answer_tables import Question, stack, tabulate
from morphoscope.label.consensus.columns import numbered, read_votes
from morphoscope.label.consensus.confusions import AnswerVotes, fit_confusions

__all__ = ["AnswerConsensus", "answer_consensus", "reject_consensus"]

KEYS = ("rater", "subject", "question")
REJECTED = "reject"
KEEP, REJECT = "keep", "reject"


@dataclass(frozen=True)
class AnswerConsensus:
    """What a campaign found.

    Attributes
    ----------
    subjects
        One row a galaxy and question that somebody answered: ``subject``, ``question``, the
        likeliest ``answer``, its ``probability``, ``n`` votes, ``gold`` (the answer was known, and
        has the probability 1).
    answers
        One row more for each answer: ``subject``, ``question``, ``answer``, ``probability``,
        ``vote_fraction`` and ``votes`` as they were given.
    raters
        One row a person and question: ``rater``, ``question``, ``n``; ``accuracy``: share of
        right answers to be expected of that person, drawn towards what all have where there are
        few votes; ``agreed``: share of the votes that gave the likeliest answer; ``n_gold``,
        ``gold_right``: votes where the answer was known, and the right ones of them.
    confusions
        One row a person, question, ``right`` and ``given`` answer: their ``share`` of the votes
        with that right answer, and ``votes``, the expected number.
    """

    subjects: pl.DataFrame
    answers: pl.DataFrame
    raters: pl.DataFrame
    confusions: pl.DataFrame


def answer_consensus(
    votes: pl.DataFrame,
    gold: pl.DataFrame | None = None,
    answers: Mapping[str, Sequence[str]] | None = None,
) -> AnswerConsensus:
    """Bring the answers that people gave to one a galaxy and question.

    Every question is a problem of its own, of those who came to it and of the galaxies about which
    somebody did (`morphoscope.label.consensus.confusions`); how much a person errs is learnt from
    all of them.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``question``, ``answer``; rows without an answer are left out.
    gold
        ``subject``, ``question``, ``answer`` that are known; those nobody voted on count for
        nothing.
    answers
        All answers of each question; those in the tables where it does not say.

    Returns
    -------
    AnswerConsensus
        Tables in the order of their names.

    Raises
    ------
    CatalogueError
        A column is absent.
    VoteError
        A name is missing, an answer is not one of its question, or somebody answered a question
        about a galaxy twice.

    Notes
    -----
    People are thought to err independently. Galaxies that are hard for everybody break that, and
    the probabilities then are too near 0 and 1; compare them with the vote fractions.

    Examples
    --------
    >>> votes = pl.DataFrame(
    ...     {"rater": ["a", "b", "c"], "subject": "NGC 1", "question": "shape",
    ...      "answer": ["disc", "disc", "smooth"]}
    ... )
    >>> answer_consensus(votes).subjects["answer"][0]
    'disc'
    """
    table = read_votes(votes, KEYS, "answer").with_columns(pl.col("answer").cast(pl.String))
    known = _read_gold(gold)
    raters = table["rater"].unique().sort()
    questions = [
        _ask(str(name), part, known, (answers or {}).get(str(name)), raters)
        for (name,), part in table.sort("question", "subject", "rater").group_by(
            "question", maintain_order=True
        )
    ]
    fits = fit_confusions([question.votes for question in questions])
    tables = [tabulate(question, fit) for question, fit in zip(questions, fits, strict=True)]
    return AnswerConsensus(*stack(tables))


def reject_consensus(votes: pl.DataFrame, gold: pl.DataFrame | None = None) -> pl.DataFrame:
    """Probability that a galaxy is to be rejected, from who measured it and who rejected it.

    It is `answer_consensus` with one question of two answers.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``reject`` (boolean).
    gold
        ``subject``, ``reject`` of galaxies where it is known.

    Returns
    -------
    polars.DataFrame
        ``subject``, ``p_reject``, ``fraction`` (of the votes), ``n``.

    Raises
    ------
    CatalogueError
        A column is absent.
    VoteError
        A name is missing, `reject` is not boolean, or somebody voted on a galaxy twice.

    Examples
    --------
    >>> votes = pl.DataFrame({"rater": ["a", "b"], "subject": "NGC 1", "reject": [False, False]})
    >>> reject_consensus(votes)["p_reject"][0] < 0.2
    True
    """
    found = answer_consensus(
        _word(read_votes(votes, ("rater", "subject"), REJECTED), "the table of votes"),
        None if gold is None else _word(gold, "the table of known rejections"),
        {REJECTED: (KEEP, REJECT)},
    )
    rejected = found.answers.filter(pl.col("answer") == REJECT)
    return rejected.select(
        "subject",
        pl.col("probability").alias("p_reject"),
        pl.col("vote_fraction").alias("fraction"),
        found.subjects["n"],
    )


def _word(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """Yes and no as answers to a question."""
    require_columns(table, ("subject", REJECTED), where=where)
    if table.height and table[REJECTED].dtype != pl.Boolean:
        raise VoteError(f"{where} has rejections that are not true or false", expected="booleans")
    reject = pl.col(REJECTED).cast(pl.Boolean)
    answer = pl.when(reject).then(pl.lit(REJECT)).when(~reject).then(pl.lit(KEEP))
    return table.with_columns(pl.lit(REJECTED).alias("question"), answer.alias("answer"))


def _read_gold(gold: pl.DataFrame | None) -> pl.DataFrame:
    if gold is None:
        return pl.DataFrame(schema=dict.fromkeys((*KEYS[1:], "answer"), pl.String))
    known = read_votes(gold, KEYS[1:], "answer", where="the table of known answers")
    return known.with_columns(pl.col("answer").cast(pl.String))


def _ask(
    name: str,
    part: pl.DataFrame,
    gold: pl.DataFrame,
    listed: Sequence[str] | None,
    raters: pl.Series,
) -> Question:
    """Numbers for names, of one question."""
    subjects, subject = numbered(part["subject"])
    known = subjects.to_frame("subject").join(
        gold.filter(pl.col("question") == name), on="subject", how="left", maintain_order="left"
    )["answer"]
    seen = pl.concat([part["answer"], known.drop_nulls()]).unique().sort()
    answers = seen if listed is None else pl.Series(listed, dtype=pl.String)
    unknown = seen.filter(~seen.is_in(answers.implode()))
    if len(unknown):
        raise VoteError(
            f"the question {name!r} has no answer {unknown[0]!r}",
            expected=", ".join(map(repr, answers)),
        )
    place = dict(zip(answers, range(len(answers)), strict=True))
    who = dict(zip(raters, range(len(raters)), strict=True))
    votes = AnswerVotes(
        _places(part["rater"], who),
        subject,
        _places(part["answer"], place),
        _places(known, place, -1),
        len(raters),
        len(answers),
    )
    return Question(name, subjects, answers, raters, votes)


def _places(names: pl.Series, places: dict[str, int], default: int = 0) -> NDArray[np.int64]:
    found = names.replace_strict(places, default=default, return_dtype=pl.Int64)
    return np.asarray(found.fill_null(default).to_numpy())
