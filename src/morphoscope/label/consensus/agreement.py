"""How far people agree: differences, intraclass correlation and Krippendorff's alpha.

All intervals are of 95 %, by drawing galaxies with replacement: with all votes of a galaxy at once,
because those are not independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.evaluate.bootstrap import Interval, interval, resample
from morphoscope.label.consensus.columns import numbered, only_angles, read_votes
from morphoscope.label.consensus.medians import medians_of_others

__all__ = [
    "angle_alpha",
    "answer_alpha",
    "intraclass_correlation",
    "pair_difference",
    "rater_differences",
]

Floats = NDArray[np.float64]
SAMPLES = 1000
SEED = 1
CONFIDENCE = 0.95
# All that is a number is in order here: what can be answered is settled elsewhere.
ANY = (-np.inf, np.inf)
RATERS: dict[str, Any] = {
    "rater": pl.String,
    "n": pl.Int64,
    "bias": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def pair_difference(votes: pl.DataFrame, *, samples: int = SAMPLES, seed: int = SEED) -> Interval:
    """Root mean square difference of two people's inclinations of the same galaxy.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``inclination`` (deg).
    samples, seed
        Of the bootstrap.

    Returns
    -------
    Interval
        Deg, with n galaxies of two votes or more; not-a-number where there are none.

    Raises
    ------
    CatalogueError, VoteError
        As `angle_consensus`.

    Notes
    -----
    √2 times the pooled standard deviation within galaxies: a galaxy with n votes counts for n − 1,
    not for its n (n − 1) / 2 pairs, which would let a few known galaxies speak for all.

    Examples
    --------
    >>> votes = pl.DataFrame({"rater": ["a", "b"], "subject": "x", "inclination": [50, 54]})
    >>> pair_difference(votes).value
    4.0
    """
    sums = _angle_sums(votes)
    return _score(sums, lambda s: np.sqrt(2 * s[..., 1] / s[..., 0]), samples, seed)


def intraclass_correlation(
    votes: pl.DataFrame, *, samples: int = SAMPLES, seed: int = SEED
) -> Interval:
    """Share of the variance of single votes that comes from the galaxies.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``inclination`` (deg).
    samples, seed
        Of the bootstrap.

    Returns
    -------
    Interval
        1 where all agree, 0 where votes tell nothing of galaxies; with n galaxies of two votes
        or more; not-a-number for fewer than two of them, or where all votes are the same.

    Raises
    ------
    CatalogueError, VoteError
        As `angle_consensus`.

    Notes
    -----
    ICC(1) of Shrout & Fleiss (1979), Psychological Bulletin 86, 420: other people judge each
    galaxy, so that what a person adds to all is error. With the mean number of votes for unequal
    ones of Donner & Koval (1980), Biometrics 36, 19.

    Examples
    --------
    >>> votes = pl.DataFrame({"rater": ["a", "b"] * 2, "subject": ["x", "x", "y", "y"],
    ...                       "inclination": [20, 20, 60, 60]})
    >>> intraclass_correlation(votes).value
    1.0
    """
    return _score(_angle_sums(votes), _correlation, samples, seed)


def angle_alpha(votes: pl.DataFrame, *, samples: int = SAMPLES, seed: int = SEED) -> Interval:
    """Krippendorff's alpha of inclinations: 1 less the observed disagreement over that by chance.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``inclination`` (deg).
    samples, seed
        Of the bootstrap.

    Returns
    -------
    Interval
        With n galaxies of two votes or more; not-a-number where there are none, or where all
        votes are the same and nothing could have been told.

    Raises
    ------
    CatalogueError, VoteError
        As `angle_consensus`.

    Notes
    -----
    Krippendorff (2004), Content Analysis, chapter 11, with squared differences. It stands votes
    that are missing, which Fleiss' kappa does not.

    Examples
    --------
    >>> votes = pl.DataFrame({"rater": ["a", "b"] * 2, "subject": ["x", "x", "y", "y"],
    ...                       "inclination": [20, 20, 60, 60]})
    >>> angle_alpha(votes).value
    1.0
    """
    return _score(_angle_sums(votes), _interval_alpha, samples, seed)


def answer_alpha(
    votes: pl.DataFrame, *, samples: int = SAMPLES, seed: int = SEED
) -> dict[str, Interval]:
    """Krippendorff's alpha of the answers to each question.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``question``, ``answer``.
    samples, seed
        Of the bootstrap.

    Returns
    -------
    dict
        Of each question as `angle_alpha` says; two answers are the same or they are not.

    Raises
    ------
    CatalogueError, VoteError
        As `answer_consensus`.

    Examples
    --------
    >>> votes = pl.DataFrame({"rater": ["a", "b"] * 2, "subject": ["x", "x", "y", "y"],
    ...                       "question": "bar", "answer": ["yes", "yes", "no", "no"]})
    >>> answer_alpha(votes)["bar"].value
    1.0
    """
    table = read_votes(votes, ("rater", "subject", "question"), "answer")
    return {
        str(name): _score(_answer_sums(part), _nominal_alpha, samples, seed)
        for (name,), part in table.sort("question").group_by("question", maintain_order=True)
    }


def rater_differences(
    votes: pl.DataFrame, *, samples: int = SAMPLES, seed: int = SEED
) -> pl.DataFrame:
    """How far each person is from the median of the others.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``inclination`` (deg).
    samples, seed
        Of the bootstrap.

    Returns
    -------
    polars.DataFrame
        ``rater``, ``n`` galaxies that others gave an angle as well, ``bias`` (mean of own − others,
        deg), r.m.s. ``difference`` (deg) with ``low`` and ``high``. Who shares no galaxy with
        anybody is left out.

    Raises
    ------
    CatalogueError, VoteError
        As `angle_consensus`.

    Examples
    --------
    >>> votes = pl.DataFrame({"rater": [*"abc"], "subject": "x", "inclination": [50, 52, 60]})
    >>> rater_differences(votes)["difference"].to_list()
    [6.0, 3.0, 9.0]
    """
    table = read_votes(votes, ("rater", "subject"), "inclination")
    table = only_angles(table, ANY, where="the table of votes")
    _, subject = numbered(table["subject"])
    own = table["inclination"].to_numpy()
    off = pl.Series("off", own - medians_of_others(own, subject))
    shared = table.with_columns(off).filter(pl.col("off").is_not_nan()).sort("rater")
    rows = []
    for (name,), part in shared.group_by("rater", maintain_order=True):
        away = part["off"].to_numpy()
        sums = np.stack([np.ones(len(away)), away**2], 1)
        found = _score(sums, lambda s: np.sqrt(s[..., 1] / s[..., 0]), samples, seed)
        rows.append((name, len(away), away.mean(), found.value, found.low, found.high))
    return pl.DataFrame(rows, schema=RATERS, orient="row")


def _score(sums: Floats, formula: Any, samples: int, seed: int) -> Interval:
    """Value of a formula of sums over galaxies, and its interval."""
    if not len(sums):
        return Interval(np.nan, np.nan, np.nan, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(formula(sums.sum(0)))
        drawn = formula(resample(sums, samples, np.random.default_rng(seed)))
    if not np.isfinite(value):
        return Interval(np.nan, np.nan, np.nan, len(sums))
    return interval(value, drawn, len(sums), CONFIDENCE)


def _angle_sums(votes: pl.DataFrame) -> Floats:
    """Of each galaxy with n ≥ 2 votes x and squares Q = Σ(x − mean)².

    The columns are n − 1, Q, n, Σx, Σx², n², Q n / (n − 1), (Σx)² / n and 1.
    """
    table = read_votes(votes, ("rater", "subject"), "inclination")
    table = only_angles(table, ANY, where="the table of votes")
    subjects, subject = numbered(table["subject"])
    many = len(subjects)
    # From the mean of all: none of the formulae changes, and the squares stay small.
    x = table["inclination"].to_numpy()
    x = x - (x.mean() if len(x) else 0)
    n = np.bincount(subject, minlength=many).astype(np.float64)
    total = np.bincount(subject, x, many)
    inner = np.bincount(subject, (x - (total / n)[subject]) ** 2, many)
    squares = np.bincount(subject, x**2, many)
    ones = np.ones(many)
    extra = inner * n / np.maximum(n - 1, 1)
    sums = np.stack([n - 1, inner, n, total, squares, n**2, extra, total**2 / n, ones], 1)
    return np.asarray(sums[n > 1])


def _correlation(sums: Floats) -> Floats:
    free, inner, n, total, _, square, _, means, galaxies = np.moveaxis(sums, -1, 0)
    within = inner / free
    between = (means - total**2 / n) / (galaxies - 1)
    usual = (n - square / n) / (galaxies - 1)
    return np.asarray((between - within) / (between + (usual - 1) * within))


def _interval_alpha(sums: Floats) -> Floats:
    _, _, n, total, squares, _, extra, _, _ = np.moveaxis(sums, -1, 0)
    by_chance = 2 * (n * squares - total**2) / (n * (n - 1))
    return np.asarray(1 - 2 * extra / n / by_chance)


def _answer_sums(part: pl.DataFrame) -> Floats:
    """Of each galaxy with n ≥ 2 votes: n, pairs that differ over n − 1, votes for each answer."""
    subjects, subject = numbered(part["subject"])
    answers, answer = numbered(part["answer"].cast(pl.String))
    k = len(answers)
    flat = np.bincount(subject * k + answer, minlength=len(subjects) * k)
    counts = flat.reshape(-1, k).astype(np.float64)
    n = counts.sum(1)
    differ = (n**2 - (counts**2).sum(1)) / np.maximum(n - 1, 1)
    return np.asarray(np.column_stack([n, differ, counts])[n > 1])


def _nominal_alpha(sums: Floats) -> Floats:
    n, differ, counts = sums[..., 0], sums[..., 1], sums[..., 2:]
    by_chance = (n**2 - (counts**2).sum(-1)) / (n - 1)
    return np.asarray(1 - differ / by_chance)
