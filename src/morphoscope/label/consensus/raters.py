"""What people's scales are, found together with the angles that they measure.

    vote = truth + offset + (scale − 1) (truth − middle) + noise of the rater's own size

is fitted by expectation and maximisation (Dempster, Laird & Rubin 1977) in turns: what the votes
of a galaxy say about its angle; what the angles say about each rater; and which common offset and
scale of all angles agree best with the galaxies of known angle and with raters who are on the
whole unbiased. It is the linear model of random raters of Laird & Ware (1982, Biometrics 38, 963),
where each rater's numbers are drawn towards those of all raters, the more the fewer votes there
are. What is far off counts for less (Huber 1981, Robust Statistics, chapter 6): neither a slip of
the hand nor a mirrored rater draws the others along.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from morphoscope.label.consensus.censoring import beyond
from morphoscope.label.consensus.medians import weighted_medians

__all__ = ["AngleVotes", "RaterFit", "fit_raters"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Scatters beyond which a vote counts for less, and what is then left of a normal variance.
FAR = 2.5
NORMAL = 0.974
# Standard deviations, of offset and scale together, beyond which a rater is odd.
ODD = 3.0
# What is thought of raters before any vote, and of how many raters' weight that is: an offset of
# 6° in the middle of the scale, 15 % in scale, 6° of scatter.
OFFSET, SCALE, SCATTER, SUPPOSED = 6.0, 0.15, 6.0, 2.0
# Votes' worth of the scatter of all raters in that of each.
SCATTER_VOTES = 4.0
TOLERANCE_DEG = 0.01
MOST_TURNS = 300


@dataclass(frozen=True)
class AngleVotes:
    """Votes as arrays.

    Attributes
    ----------
    rater, subject
        Places in the lists of raters and subjects, shape ``(n,)``.
    angle
        Deg, shape ``(n,)``.
    known
        Angle of each subject (deg), not-a-number where it is not known, shape ``(subjects,)``.
    raters
        Number of raters.
    ends
        Lowest and highest angle that a vote can have (deg).
    """

    rater: Integers
    subject: Integers
    angle: Floats
    known: Floats
    raters: int
    ends: tuple[float, float]

    @property
    def middle(self) -> float:
        """Where offset and scale tell least about each other (deg)."""
        return (self.ends[0] + self.ends[1]) / 2


@dataclass
class RaterFit:
    """State of the fit; angles are counted from the middle of the scale.

    Attributes
    ----------
    offset, scale, variance
        Of each rater, shape ``(raters,)``; offset at the middle (deg), variance of
        the noise (deg², times `NORMAL`).
    covariance
        Of offset and scale: variances and covariance, shape ``(3, raters)``.
    angle, uncertain
        Of each subject, with variance (deg²), shape ``(subjects,)``.
    filled, hidden
        The votes, those at an end replaced by what is expected beyond it, with variance, ``(n,)``.
    weight
        Of each vote, 1 or less where it is far off, ``(n,)``.
    prior
        Variances of offset (deg²) and scale among raters, and usual variance of noise, ``(3,)``.
    usual
        1, or less for a rater who is odd, ``(raters,)``.
    common
        Variances and covariance of the offset and scale that all have in common, ``(3,)``.
    turns
        So many were made.
    """

    offset: Floats
    scale: Floats
    variance: Floats
    covariance: Floats
    angle: Floats
    uncertain: Floats
    filled: Floats
    hidden: Floats
    weight: Floats
    prior: Floats = field(default_factory=lambda: np.array([OFFSET, SCALE, SCATTER]) ** 2)
    usual: Floats = field(default_factory=lambda: np.ones(0))
    common: Floats = field(default_factory=lambda: np.zeros(3))
    turns: int = 0

    def doubt(self, votes: AngleVotes) -> Floats:
        """Variance of a vote from what is not known of its rater (deg²), shape ``(n,)``."""
        return along(self.covariance[:, votes.rater], self.angle[votes.subject])


def along(covariance: Floats, angle: Floats) -> Floats:
    """Variance of offset + scale × angle."""
    found = covariance[0] + 2 * covariance[2] * angle + covariance[1] * angle**2
    return np.asarray(np.maximum(found, 0))


def fit_raters(votes: AngleVotes) -> RaterFit:
    """Fit the raters, until no angle moves by more than 0.01° a turn.

    Parameters
    ----------
    votes
        At least one.
    """
    fit = _begin(votes)
    if np.isfinite(votes.known).any():
        _see_raters(fit, votes, np.isfinite(votes.known)[votes.subject].astype(np.float64))
    for turn in range(MOST_TURNS):
        before = fit.angle
        _see_subjects(fit, votes)
        _look_beyond(fit, votes)
        _see_raters(fit, votes, fit.weight)
        _suppose(fit)
        _align(fit, votes)
        fit.turns = turn + 1
        if np.abs(fit.angle - before).max() < TOLERANCE_DEG:
            break
    return fit


def _begin(votes: AngleVotes) -> RaterFit:
    """Everybody unbiased, and the plain median."""
    own = votes.angle - votes.middle
    ones = np.ones(len(own))
    plain = weighted_medians(own, ones, votes.subject, len(votes.known))
    many = np.bincount(votes.subject, minlength=len(votes.known))
    known = np.isfinite(votes.known)
    raters = np.ones(votes.raters)
    return RaterFit(
        offset=0 * raters,
        scale=raters,
        variance=SCATTER**2 * raters,
        covariance=np.zeros((3, votes.raters)),
        angle=np.where(known, votes.known - votes.middle, plain),
        uncertain=np.where(known, 0.0, SCATTER**2 / many),
        filled=own,
        hidden=0 * own,
        weight=ones,
        usual=raters,
    )


def _see_subjects(fit: RaterFit, votes: AngleVotes) -> None:
    """What the votes say about each angle, where it is not known."""
    r, s, subjects = votes.rater, votes.subject, len(votes.known)
    precision = fit.weight / (fit.variance[r] + fit.doubt(votes))
    known = np.isfinite(votes.known)
    middle = fit.angle.mean()
    width = ((fit.angle - middle) ** 2 + fit.uncertain).mean() + SCATTER**2 / subjects
    scale = fit.scale[r]
    sharp = np.bincount(s, precision * scale**2, subjects) + 1 / width
    pulled = np.bincount(s, precision * scale * (fit.filled - fit.offset[r]), subjects)
    fit.angle = np.where(known, fit.angle, (pulled + middle / width) / sharp)
    fit.uncertain = np.where(known, 0.0, 1 / sharp)


def _look_beyond(fit: RaterFit, votes: AngleVotes) -> None:
    """Fill in the votes at the ends, and weigh all."""
    r, s = votes.rater, votes.subject
    expected = fit.offset[r] + fit.scale[r] * fit.angle[s]
    scatter = np.sqrt(fit.variance[r])
    for end, sign in zip(votes.ends, (-1.0, 1.0), strict=True):
        at = np.flatnonzero(sign * votes.angle >= sign * end)
        far = np.full(len(at), sign * (end - votes.middle))
        mean, fit.hidden[at] = beyond(far, sign * expected[at], scatter[at])
        fit.filled[at] = sign * mean
    square = (fit.filled - expected) ** 2 + fit.scale[r] ** 2 * fit.uncertain[s] + fit.hidden
    fit.weight = 1 / np.maximum(square / fit.variance[r] / FAR**2, 1)


def _see_raters(fit: RaterFit, votes: AngleVotes, weight: Floats) -> None:
    """What the angles say about each rater: two numbers by least squares, and the scatter."""
    r, raters = votes.rater, votes.raters
    x, extra = fit.angle[votes.subject], fit.uncertain[votes.subject]

    def total(of: Floats) -> Floats:
        return np.asarray(np.bincount(r, weight * of, raters), np.float64)

    off = fit.filled - x
    pull = fit.usual * fit.variance
    p, q = total(np.ones(len(x))) + pull / fit.prior[0], total(x)
    t = total(x**2 + extra) + pull / fit.prior[1]
    a, b = total(off), total(off * x - extra)
    size = p * t - q**2
    fit.offset, fit.scale = (t * a - q * b) / size, 1 + (p * b - q * a) / size
    fit.covariance = fit.variance / size * np.stack([t, p, -q])
    left = fit.filled - fit.offset[r] - fit.scale[r] * x
    square = left**2 + fit.scale[r] ** 2 * extra + fit.hidden + fit.doubt(votes)
    many = np.bincount(r, weight > 0, raters)
    fit.variance = (SCATTER_VOTES * fit.prior[2] + total(square)) / (SCATTER_VOTES + many)


def _suppose(fit: RaterFit) -> None:
    """How much raters differ, learnt from them, and who of them is unusual."""
    own = np.stack([fit.offset**2, (fit.scale - 1) ** 2]) + fit.covariance[:2]
    far = (own / fit.prior[:2, None]).sum(0)
    fit.usual = 1 / np.maximum(far / ODD**2, 1) ** 2
    many = SUPPOSED + len(fit.usual)
    first = np.array([OFFSET, SCALE]) ** 2
    fit.prior[:2] = (SUPPOSED * first + (fit.usual * own).sum(1)) / many
    fit.prior[2] = many / (SUPPOSED / SCATTER**2 + (1 / fit.variance).sum())


def _align(fit: RaterFit, votes: AngleVotes) -> None:
    """Move and stretch all angles together, so that raters are unbiased on the whole.

    With angle = shift + stretch × aligned angle, galaxies of known angle give one equation a vote,
    and the mean of the raters two more, as exact as so many raters are.
    """
    usual = fit.usual.sum()
    offset, scale = fit.usual @ fit.offset / usual, fit.usual @ fit.scale / usual
    at = np.flatnonzero(np.isfinite(votes.known)[votes.subject])
    r, x = votes.rater[at], fit.angle[votes.subject[at]]
    b, y = fit.scale[r], fit.filled[at] - fit.offset[r]
    w = fit.weight[at] / fit.variance[r]
    first, second = usual * scale**2 / fit.prior[:2]
    p, q, t = first + w @ b**2, w @ (b**2 * x), second + w @ (b**2 * x**2)
    c, d = w @ (b * y) - first * offset / scale, w @ (b * x * y) + second / scale
    size = p * t - q**2
    shift, stretch = (t * c - q * d) / size, (p * d - q * c) / size
    fit.common = np.array([t, p, -q]) / size
    known = np.isfinite(votes.known)
    fit.angle = np.where(known, fit.angle, (fit.angle - shift) / stretch)
    fit.uncertain = fit.uncertain / stretch**2
    fit.offset = fit.offset + fit.scale * shift
    fit.scale = fit.scale * stretch
