"""Which answer is right, and who confuses which with which: Dawid & Skene (1979).

Each person answers a galaxy whose right answer is k with l in the share C[k, l] of the cases,
without regard to what others answer. Right answers and shares are found in turns by expectation
and maximisation (Applied Statistics 28, 20, eqs. 2.3–2.5). That paper counts alone; here counts
are drawn towards what is expected beforehand (Dirichlet distributions), because most people answer
few questions:

- the shares of a question, over all raters, begin as 70 % right, with the weight of 50 votes of
  each right answer, and each answer as right for 10 galaxies;
- a rater errs in each question as everybody does there, times one factor of his own: the number of
  his errors in all questions over the number expected, drawn towards 1 by 20 errors' worth (as
  Clayton & Kaldor 1987, Biometrics 43, 671, do with rates);
- the shares of a rater in a question begin as that, with the weight of 20 votes of each answer.

A vote does not speak for its own rater: when a galaxy is judged, its votes are taken out of their
raters' counts (Asuncion et al. 2009, arXiv:1205.2662, CVB0). With few votes a rater it is this,
and the weights above, that keep the answers from being worse than the majority's where all are
equally good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnswerVotes", "Confusions", "fit_confusions"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
RIGHT = 0.7
QUESTION_VOTES = 50.0
RATER_VOTES = 20.0
ERRORS = 20.0
# Each answer is thought to be the right one of this many galaxies more.
GALAXIES = 10.0
# All answers that a rater may give have this probability together at least.
LEAST = 0.01
TOLERANCE = 1e-4
MOST_TURNS = 200


@dataclass(frozen=True)
class AnswerVotes:
    """Votes on one question as arrays.

    Attributes
    ----------
    rater, subject, answer
        Places in the lists of raters, subjects and answers, shape ``(n,)``; in the order of
        `subject`, each of which has a vote.
    known
        Right answer of each subject, −1 where it is not known, shape ``(subjects,)``.
    raters, answers
        Numbers of them.
    """

    rater: Integers
    subject: Integers
    answer: Integers
    known: Integers
    raters: int
    answers: int

    @property
    def first(self) -> Integers:
        """Place of the first vote of each subject."""
        return np.flatnonzero(np.diff(self.subject, prepend=-1))


@dataclass
class Confusions:
    """State of one question.

    Attributes
    ----------
    right
        Probability of each answer to be right, shape ``(subjects, answers)``.
    counts
        Votes of each rater by right answer (expected) and answer given, ``(raters, k, k)``.
    shared, own
        Shares of all and of each rater by right answer and answer given, ``(k, k)`` and
        ``(raters, k, k)``.
    expected
        Votes that are thought of beforehand, ``(raters, k, k)``.
    """

    right: Floats
    counts: Floats
    shared: Floats
    own: Floats
    expected: Floats


def fit_confusions(questions: list[AnswerVotes]) -> list[Confusions]:
    """Fit all questions of the same raters together.

    They end when no probability moves by more than 0.0001 a turn, or after 200 turns.

    Parameters
    ----------
    questions
        At least one vote each, and the same number of raters.
    """
    fits = [_begin(votes) for votes in questions]
    for _ in range(MOST_TURNS):
        for votes, fit in zip(questions, fits, strict=True):
            _count(votes, fit)
        factor = _errors(fits)
        moved = 0.0
        for votes, fit in zip(questions, fits, strict=True):
            before = fit.right
            _suppose(fit, factor)
            fit.right = _fix(votes, _judge(votes, fit))
            moved = max(moved, float(np.abs(fit.right - before).max()))
        if moved < TOLERANCE:
            break
    return fits


def _begin(votes: AnswerVotes) -> Confusions:
    """The shares of the votes, as if each answer had one vote in all more."""
    k, subjects = votes.answers, len(votes.known)
    flat = np.bincount(votes.subject * k + votes.answer, minlength=subjects * k)
    counts = flat.reshape(subjects, k) + 1 / k
    right = _fix(votes, counts / counts.sum(1, keepdims=True))
    empty = np.zeros((votes.raters, k, k))
    return Confusions(right, empty, np.zeros((k, k)), empty, empty)


def _fix(votes: AnswerVotes, right: Floats) -> Floats:
    """Put in what is known."""
    at = np.flatnonzero(votes.known >= 0)
    right[at] = 0
    right[at, votes.known[at]] = 1
    return right


def _count(votes: AnswerVotes, fit: Confusions) -> None:
    """Count what each rater gave for which right answer, and what all did."""
    k, cells = votes.answers, votes.rater * votes.answers + votes.answer
    weights = fit.right[votes.subject]
    counts = [np.bincount(cells, weights[:, one], votes.raters * k) for one in range(k)]
    stacked = np.asarray(np.stack(counts), np.float64)
    fit.counts = stacked.reshape(k, votes.raters, k).transpose(1, 0, 2)
    start = np.full((k, k), (1 - RIGHT) / max(k - 1, 1))
    np.fill_diagonal(start, RIGHT if k > 1 else 1.0)
    total = fit.counts.sum(0) + QUESTION_VOTES * start
    fit.shared = total / total.sum(1, keepdims=True)


def _errors(fits: list[Confusions]) -> Floats:
    """How much more than others each rater errs, over all questions, shape ``(raters,)``."""
    made = sum(fit.counts.sum((1, 2)) - np.trace(fit.counts, axis1=1, axis2=2) for fit in fits)
    expected = sum(fit.counts.sum(2) @ (1 - np.diagonal(fit.shared)) for fit in fits)
    return np.asarray((ERRORS + made) / (ERRORS + expected))


def _suppose(fit: Confusions, factor: Floats) -> None:
    """Find the shares of each rater."""
    k = len(fit.shared)
    wrong = fit.shared * (1 - np.eye(k))
    # Not worse than one who answers without looking.
    most = (k - 1) / k / np.maximum(wrong.sum(1), LEAST)
    wrong = wrong * np.minimum(factor[:, None], np.maximum(most, 1))[:, :, None]
    expected = wrong + np.eye(k) * (1 - wrong.sum(2, keepdims=True))
    fit.expected = RATER_VOTES * expected
    fit.own = (fit.counts + fit.expected) / (fit.counts.sum(2) + RATER_VOTES)[:, :, None]


def _judge(votes: AnswerVotes, fit: Confusions) -> Floats:
    """Probability of each answer to be right, from the votes (eq. 2.5), ``(subjects, k)``."""
    often = fit.right.sum(0) + GALAXIES
    own = fit.right[votes.subject]
    given = (fit.counts + fit.expected)[votes.rater, :, votes.answer] - own
    all_given = fit.counts.sum(2)[votes.rater] + RATER_VOTES - own
    logs = np.log(np.maximum(given / all_given, LEAST / votes.answers))
    total = np.add.reduceat(logs, votes.first, axis=0) + np.log(often / often.sum())
    weight = np.exp(total - total.max(1, keepdims=True))
    return np.asarray(weight / weight.sum(1, keepdims=True))
