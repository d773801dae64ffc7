"""Groups to parts, so that each part gets its share of every class.

Groups of the same content (so many of this class, so many of that) are interchangeable. They are
taken kind by kind, the largest first. Of each kind every part gets the number that brings it
nearest, in least squares relative to the size of each class, to its share of all that has been
given out so far; where in the kind the cut falls is random. Small groups come last and even out
what large ones left uneven. In the end, a part that lacks a class is given a group of it, as long
as no other part loses a class by that.

This is the idea of iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, ECML PKDD) for
groups instead of multiple labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["share_out"]

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


def share_out(
    contents: Counts,
    shares: Shares,
    rng: np.random.Generator,
    fixed: Counts | None = None,
) -> Counts:
    """Give every group to a part.

    Parameters
    ----------
    contents
        (group, class) Number of galaxies.
    shares
        (part,) Share of each part; their sum is 1.
    rng
        Decides which of like groups goes where.
    fixed
        (group,) Part of the groups that have one already, -1 for the others.

    Returns
    -------
    numpy.ndarray
        (group,) Part.

    Examples
    --------
    >>> parts = share_out(np.ones((10, 1), int), np.array([0.8, 0.2]), np.random.default_rng(1))
    >>> np.bincount(parts)
    array([8, 2])
    """
    parts = np.full(len(contents), -1) if fixed is None else fixed.copy()
    free = parts < 0
    have = np.zeros((len(shares), contents.shape[1]))
    np.add.at(have, parts[~free], contents[~free])
    weights = 1 / np.maximum(contents.sum(0), 1)
    for content, members in _kinds(contents, free):
        wanted = _wanted(content, len(members), have, shares, weights)
        numbers = _whole(wanted, len(members), rng)
        parts[rng.permutation(members)] = np.repeat(np.arange(len(shares)), numbers)
        have += np.outer(numbers, content)
    _give_every_class(parts, contents, free, len(shares))
    return parts


def _kinds(contents: Counts, free: NDArray[np.bool_]) -> list[tuple[Counts, Counts]]:
    """Contents, and the groups that have them; the largest first, among those the rarest."""
    groups = np.flatnonzero(free)
    kinds, kind, sizes = np.unique(
        contents[groups], axis=0, return_inverse=True, return_counts=True
    )
    members = np.split(groups[np.argsort(kind.ravel(), kind="stable")], np.cumsum(sizes)[:-1])
    order = np.lexsort([sizes, -kinds.sum(1)])
    return [(kinds[i], members[i]) for i in order if len(members[i])]


def _wanted(content: Counts, n: int, have: Shares, shares: Shares, weights: Shares) -> Shares:
    """Number of groups, not yet whole, that each part should get of ``n`` groups of one content."""
    given = have.sum(0) + n * content
    lack = shares[:, None] * given - have
    pull = weights * content
    wanted: Shares = np.maximum(lack @ pull / (content @ pull), 0)
    wanted *= n / wanted.sum()
    return wanted


def _whole(wanted: Shares, n: int, rng: np.random.Generator) -> Counts:
    """Whole numbers near ``wanted`` whose sum is ``n``: the largest remainders are rounded up."""
    numbers = np.floor(wanted + 1e-9).astype(np.int64)
    remainder = wanted - numbers + rng.uniform(0, 1e-6, len(wanted))
    numbers[np.argsort(-remainder)[: n - numbers.sum()]] += 1
    return numbers


def _give_every_class(
    parts: Counts, contents: Counts, free: NDArray[np.bool_], n_parts: int
) -> None:
    """Move small groups to parts that lack a class which has a group for each of them."""
    holds = contents > 0
    sizes = contents.sum(1)
    held = np.zeros((n_parts, contents.shape[1]), np.int64)
    np.add.at(held, parts, holds.astype(np.int64))
    for part, one in np.argwhere((held == 0) & (holds.sum(0) >= n_parts)):
        candidates = np.flatnonzero(free & holds[:, one])
        # A part gives a group away only if it keeps another group of each class in it.
        spare = ((held[parts[candidates]] > 1) | ~holds[candidates]).all(1)
        candidates = candidates[spare]
        if held[part, one] == 0 and len(candidates):
            surplus = held[parts[candidates], one]
            moved = candidates[np.lexsort([candidates, -surplus, sizes[candidates]])[0]]
            held[parts[moved]] -= holds[moved]
            held[part] += holds[moved]
            parts[moved] = part
