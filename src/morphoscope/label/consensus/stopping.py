"""When people agree about a galaxy, so that nobody else need be asked."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

__all__ = ["SURE", "angles_agree", "answers_agree", "lead_probability", "standard_error"]

# Probability that an answer truly leads at which it does: 3 to 0 has 0.94, 4 to 1 has 0.89, 5 to 1
# has 0.94, 6 to 2 has 0.91, and 2 to 0 has 0.88.
SURE = 0.9
# What single votes on one galaxy scatter by before any are seen, and how many votes that is worth.
# Practised people who differ by 5.6° from each other scatter by 5.6° / √2 = 4.0° about what is
# common to them; not everybody is practised.
SCATTER_DEG = 5.0
SCATTER_VOTES = 4.0
# Scatters beyond which a vote counts for less.
FAR = 2.0
# What is left of a normal variance if it does: mean of min(z², 4) at the scale where it is itself.
KEPT = 0.86
TURNS = 20


def angles_agree(
    inclinations: Sequence[float],
    rejects: int,
    spread_deg: float,
    least: int,
    scatter_deg: float = SCATTER_DEG,
) -> bool:
    """Whether people agree about an inclination, or that there is none to be had.

    Parameters
    ----------
    inclinations
        Votes (deg).
    rejects
        Votes that reject the galaxy instead.
    spread_deg
        Largest standard error of the median at which they agree (deg).
    least
        Fewest votes, rejections among them.
    scatter_deg
        What votes of one galaxy are thought to scatter by before any are seen (deg).

    Returns
    -------
    bool
        There are `least` votes, it is decided whether to reject (`lead_probability` of 0.9 or
        more), and of a galaxy that is kept the median is known well enough.

    Examples
    --------
    >>> angles_agree([61, 63, 64, 62, 66], rejects=0, spread_deg=3, least=5)
    True
    >>> angles_agree([61, 63, 64, 62, 66], rejects=3, spread_deg=3, least=5)
    False
    """
    kept = [angle for angle in inclinations if math.isfinite(angle)]
    if len(kept) + rejects < max(least, 1):
        return False
    if lead_probability(max(rejects, len(kept)), min(rejects, len(kept))) < SURE:
        return False
    return rejects > len(kept) or standard_error(kept, scatter_deg) <= spread_deg


def answers_agree(paths: Sequence[Sequence[tuple[str, str]]], share: float, least: int) -> bool:
    """Whether people agree about every question that most of them came to.

    Parameters
    ----------
    paths
        Of each person the questions and answers, in order.
    share
        Least share that the leading answer to a question must have of those who came to it.
    least
        Fewest people.

    Returns
    -------
    bool
        There are `least` people, and of each question that more than half of them came to one
        answer has the share, and truly leads the next one with a probability of 0.9 or more.

    Examples
    --------
    >>> spiral = [("shape", "disc"), ("edge_on", "no"), ("arms", "yes")]
    >>> answers_agree([spiral] * 4 + [[("shape", "smooth")]], share=0.7, least=5)
    False
    >>> answers_agree([spiral] * 5 + [[("shape", "smooth")]], share=0.7, least=5)
    True
    """
    if len(paths) < max(least, 1):
        return False
    answers: dict[str, Counter[str]] = {}
    for path in paths:
        for question, answer in dict(path).items():
            answers.setdefault(question, Counter())[answer] += 1
    reached = [found for found in answers.values() if found.total() > len(paths) / 2]
    return bool(reached) and all(_leads(found, share) for found in reached)


def _leads(found: Counter[str], share: float) -> bool:
    ordered = [votes for _, votes in found.most_common()] + [0]
    return ordered[0] >= share * found.total() and lead_probability(*ordered[:2]) >= SURE


def lead_probability(first: int, second: int) -> float:
    """Probability that an answer is truly the more frequent of two, from their votes.

    Parameters
    ----------
    first, second
        Votes of either.

    Returns
    -------
    float
        Share above ½ of the Beta distribution of `first` + 1 and `second` + 1: what the votes say
        about the share of the first among the two, if every share was as likely before. It is
        also right for two of several answers with a flat Dirichlet distribution.

    Notes
    -----
    For whole numbers it is the probability of at most `first` heads in `first` + `second` + 1
    tosses (Abramowitz & Stegun 1964, 26.5.24).

    Examples
    --------
    >>> [round(lead_probability(*votes), 4) for votes in [(3, 0), (4, 1), (2, 2)]]
    [0.9375, 0.8906, 0.5]
    """
    tosses = first + second + 1
    heads = sum(math.comb(tosses, found) for found in range(first + 1))
    return float(heads / 2**tosses)


def standard_error(angles: Sequence[float], scatter_deg: float = SCATTER_DEG) -> float:
    """Standard error of the median of a few votes.

    Parameters
    ----------
    angles
        Deg.
    scatter_deg
        What single votes are thought to scatter by (deg).

    Returns
    -------
    float
        Deg; infinite without votes.

    Notes
    -----
    The variance of a vote is the mean of the squared distances from the median, of which none
    counts for more than (2 scatters)² (Huber 1981, Robust Statistics, section 6.4), together with
    four votes' worth of what is thought beforehand: the mean of a scaled inverse χ² distribution
    (Gelman et al. 2013, Bayesian Data Analysis, section 2.6). That of the median of n is
    1 + (π/2 − 1)(1 − 1/n)² times it over n. The spread of three votes alone is no guide: it is
    less than a third of their scatter in one case of ten.

    Examples
    --------
    >>> round(standard_error([60, 61, 64]), 2), round(standard_error([40, 61, 80]), 2)
    (2.79, 8.48)
    """
    n = len(angles)
    if not n:
        return math.inf
    middle = statistics.median(angles)
    squares = [(angle - middle) ** 2 for angle in angles]
    variance = scatter_deg**2
    for _ in range(TURNS):
        seen = sum(min(square, FAR**2 * variance) for square in squares) / KEPT
        variance = (SCATTER_VOTES * scatter_deg**2 + seen) / (SCATTER_VOTES + max(n - 1, 0))
    return math.sqrt(variance / n * (1 + (math.pi / 2 - 1) * (1 - 1 / n) ** 2))
