"""The order of the queue: what teaches most, and a share that chance alone draws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["RANDOM", "TEACHING", "order"]

RANDOM, TEACHING = "random", "teaching"
# 0.1 · 30 is a little less than 3.
ROUNDING = 1e-9


def order(
    ids: Sequence[str],
    scores: NDArray[np.float64],
    random_share: float = 0.2,
    seed: int = 0,
) -> pl.DataFrame:
    """Put galaxies into the order in which people see them.

    The first m galaxies hold ``floor(m · random_share)`` that chance alone chose. Each galaxy has a
    number that its name and the seed decide; those with the lowest are the random ones, in the
    order of their numbers. Neither scores nor the order of the rows count, so that they are a fair
    sample of all galaxies, and stay the same ones when the others are ordered anew by a better
    model. Statistics about all galaxies may be made from them, and from them only.

    Parameters
    ----------
    ids
        Names, all different, length n.
    scores
        As from `teaches`, shape ``(n,)``: the highest comes first. Of equals chance decides;
        those that are not a number come after all others.
    random_share
        From 0 to 1.
    seed
        Seed of the numbers.

    Returns
    -------
    DataFrame
        ``id_str``, ``teaches`` (null where unknown) and ``drawn`` (``random`` or ``teaching``), in
        the order of the queue.

    Examples
    --------
    >>> order(["a", "b", "c", "d"], np.array([0.1, 0.9, np.nan, 0.5]), 0.0)["id_str"].to_list()
    ['b', 'd', 'a', 'c']
    """
    drawn = np.argsort(_numbers(ids, seed), kind="stable")
    at_random = _places(len(ids), random_share)
    number = int(at_random.sum())
    teaching = drawn[number:]
    known = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    queue = np.empty(len(ids), np.int64)
    queue[at_random] = drawn[:number]
    # What is drawn already lies in an order of chance, which a stable sort keeps among equals.
    queue[~at_random] = teaching[np.argsort(-known[teaching], kind="stable")]
    names = np.where(at_random, RANDOM, TEACHING)
    return pl.DataFrame(
        {
            "id_str": pl.Series([ids[place] for place in queue.tolist()], dtype=pl.String),
            "teaches": pl.Series(np.asarray(scores, np.float64)[queue]).fill_nan(None),
            "drawn": pl.Series(names.tolist(), dtype=pl.String),
        }
    )


def _places(n: int, share: float) -> NDArray[np.bool_]:
    """Which places of the queue are chance's."""
    until = np.floor(np.arange(n + 1) * share + ROUNDING)
    return np.asarray(np.diff(until) > 0)


def _numbers(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """A number for each galaxy that its name and the seed decide."""
    key = str(seed).encode()
    digests = [hashlib.blake2b(one.encode(), digest_size=8, key=key).digest() for one in ids]
    return np.frombuffer(b"".join(digests), np.uint64)
