"""One inclination of a galaxy from those that several people gave, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.label.consensus.columns import numbered, only_angles, read_votes
from morphoscope.label.consensus.medians import weighted_medians
from morphoscope.label.consensus.raters import NORMAL, AngleVotes, RaterFit, along, fit_raters

__all__ = ["AngleConsensus", "angle_consensus"]

Floats = NDArray[np.float64]
SUBJECTS: dict[str, Any] = {
    "subject": pl.String,
    "inclination": pl.Float64,
    "uncertainty": pl.Float64,
    "n": pl.Int64,
    "spread": pl.Float64,
    "median": pl.Float64,
    "gold": pl.Boolean,
}
RATERS: dict[str, Any] = {
    "rater": pl.String,
    "n": pl.Int64,
    "scale": pl.Float64,
    "offset": pl.Float64,
    "scatter": pl.Float64,
    "n_gold": pl.Int64,
    "gold_bias": pl.Float64,
    "gold_error": pl.Float64,
    "gold_error_low": pl.Float64,
    "gold_error_high": pl.Float64,
}
# Who clicks at random has no scale to divide by.
LEAST_SCALE = 0.05
# Votes' worth of what is thought of all galaxies in the spread of each.
SPREAD_VOTES = 8.0
# A single vote moves that spread as if it were this many standard deviations away at most.
FAR = 3.0
# Normal quantile of 97.5 %.
SURE = 1.959964


@dataclass(frozen=True)
class AngleConsensus:
    """What a campaign found.

    Attributes
    ----------
    subjects
        One row a galaxy that somebody gave an angle: ``subject``, ``inclination`` and
        ``uncertainty`` (deg; the truth is within it in 68 % of the cases), ``n`` votes, ``spread``
        (standard deviation of the votes as given, deg, null of one), ``median`` of the votes as
        given, ``gold``: the angle was known, and stands here with the uncertainty 0.
    raters
        One row a person: ``rater``, ``n``, ``scale``, ``offset`` (deg, at 0°) and ``scatter``
        (deg) of vote = offset + scale × truth + noise; ``n_gold``, ``gold_bias`` (mean of vote −
        truth) and ``gold_error`` (r.m.s., deg) on galaxies of known angle, with its 95 % interval.
    """

    subjects: pl.DataFrame
    raters: pl.DataFrame


def angle_consensus(
    votes: pl.DataFrame,
    gold: pl.DataFrame | None = None,
    *,
    ends: tuple[float, float] = (0.0, 90.0),
) -> AngleConsensus:
    """Bring the inclinations that people gave to one a galaxy.

    Each person's scale, offset and scatter are fitted together with the angles
    (`morphoscope.label.consensus.raters`). The inclination is the weighted median of the votes,
    each corrected for its rater and weighted by one over the variance that is left.

    Parameters
    ----------
    votes
        ``rater``, ``subject``, ``inclination`` (deg); rows without an inclination are left out.
    gold
        ``subject``, ``inclination`` (deg) of galaxies whose angle is known; those nobody voted on
        count for nothing. Without any, the raters are taken to be unbiased on the whole.
    ends
        Least and largest angle that can be given (deg); votes there may mean more.

    Returns
    -------
    AngleConsensus
        Tables of galaxies and of raters, each in the order of their names.

    Raises
    ------
    CatalogueError
        A column is absent.
    VoteError
        An inclination is outside of `ends`, two votes are of one rater about one galaxy, or a
        name is missing.

    Notes
    -----
    The variance of a weighted median of n votes with weights w is taken as 1 / Σw times
    1 + (π/2 − 1)(1 − 1/m)², where m = (Σw)² / Σw²: 1 for one vote, π/2 for many equal ones. It
    grows or shrinks with the spread about the median, together with eight votes' worth of the
    expected one, and what is not known about offset and scale of all raters together is added.

    Examples
    --------
    >>> votes = pl.DataFrame(
    ...     {"rater": ["a", "b", "c"], "subject": ["NGC 1"] * 3, "inclination": [50, 52, 53]}
    ... )
    >>> round(angle_consensus(votes).subjects["inclination"][0])
    52
    """
    table = read_votes(votes, ("rater", "subject"), "inclination")
    table = only_angles(table, ends, where="the table of votes")
    if not table.height:
        return AngleConsensus(pl.DataFrame(schema=SUBJECTS), pl.DataFrame(schema=RATERS))
    subjects, subject = numbered(table["subject"])
    raters, rater = numbered(table["rater"])
    angles = table["inclination"].to_numpy()
    arrays = AngleVotes(rater, subject, angles, _known(gold, subjects, ends), len(raters), ends)
    fit = fit_raters(arrays)
    return AngleConsensus(
        pl.DataFrame({"subject": subjects, **_subjects(arrays, fit)}, schema=SUBJECTS),
        pl.DataFrame({"rater": raters, **_raters(arrays, fit)}, schema=RATERS, nan_to_null=True),
    )


def _known(gold: pl.DataFrame | None, subjects: pl.Series, ends: tuple[float, float]) -> Floats:
    """Known angle of each subject, not-a-number where there is none."""
    if gold is None:
        return np.full(len(subjects), np.nan)
    where = "the table of known inclinations"
    table = only_angles(
        read_votes(gold, ("subject",), "inclination", where=where), ends, where=where
    )
    found = subjects.to_frame("subject").join(
        table, on="subject", how="left", maintain_order="left"
    )
    return np.asarray(found["inclination"].fill_null(np.nan).to_numpy())


def _subjects(votes: AngleVotes, fit: RaterFit) -> dict[str, Any]:
    corrected, weight = _correct(votes, fit)
    s, many = votes.subject, len(votes.known)
    n = np.bincount(s, minlength=many)
    found = weighted_medians(corrected, weight, s, many)
    value = np.clip(found, *votes.ends)
    known = np.isfinite(votes.known)
    error = np.sqrt(_variance(corrected - found[s], weight, s, n) + along(fit.common, fit.angle))
    mean = np.bincount(s, votes.angle, many) / n
    squares = np.bincount(s, (votes.angle - mean[s]) ** 2, many)
    spread = np.sqrt(squares / np.maximum(n - 1, 1))
    return {
        "inclination": np.where(known, votes.known, value),
        "uncertainty": np.where(known, 0.0, np.minimum(error, np.diff(votes.ends)[0] / 2)),
        "n": n,
        "spread": pl.Series(spread).set(pl.Series(n < 2), None),
        "median": weighted_medians(votes.angle, np.ones(len(s)), s, many),
        "gold": known,
    }


def _correct(votes: AngleVotes, fit: RaterFit) -> tuple[Floats, Floats]:
    """Each vote as its rater would have given it without bias, and its weight (1/deg²)."""
    r = votes.rater
    scale = np.copysign(np.maximum(np.abs(fit.scale), LEAST_SCALE), fit.scale)[r]
    corrected = votes.middle + (fit.filled - fit.offset[r]) / scale
    variance = (fit.variance[r] / NORMAL + fit.doubt(votes)) / scale**2
    return corrected, 1 / variance


def _variance(
    off: Floats, weight: Floats, subject: NDArray[np.int64], n: NDArray[np.int64]
) -> Floats:
    """Variance of each weighted median from the votes' own noise (deg²)."""
    total = np.bincount(subject, weight, len(n))
    effective = total**2 / np.bincount(subject, weight**2, len(n))
    median = 1 + (np.pi / 2 - 1) * (1 - 1 / effective) ** 2
    square = np.bincount(subject, np.minimum(off**2 * weight, FAR**2), len(n))
    stretch = (SPREAD_VOTES + square) / (SPREAD_VOTES + n - 1)
    return np.asarray(median * stretch / total)


def _raters(votes: AngleVotes, fit: RaterFit) -> dict[str, Any]:
    known = votes.known[votes.subject]
    at = np.flatnonzero(np.isfinite(known))
    r, off = votes.rater[at], votes.angle[at] - known[at]
    n = np.bincount(r, minlength=votes.raters)
    with np.errstate(invalid="ignore", divide="ignore"):
        bias = np.bincount(r, off, votes.raters) / n
        error = np.sqrt(np.bincount(r, off**2, votes.raters) / n)
        low, high = (error / np.sqrt(_chi_square(sign * SURE, n)) for sign in (1, -1))
    return {
        "n": np.bincount(votes.rater, minlength=votes.raters),
        "scale": fit.scale,
        "offset": fit.offset + votes.middle * (1 - fit.scale),
        "scatter": np.sqrt(fit.variance / NORMAL),
        "n_gold": n,
        "gold_bias": bias,
        "gold_error": error,
        "gold_error_low": low,
        "gold_error_high": high,
    }


def _chi_square(normal: float, n: NDArray[np.int64]) -> Floats:
    """Quantile of χ²/n of n degrees at a normal one (Wilson & Hilferty 1931, PNAS 17, 684)."""
    part = 2 / (9 * n)
    return np.asarray((1 - part + normal * np.sqrt(part)) ** 3)
