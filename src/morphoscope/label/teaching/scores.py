"""One number a galaxy: how much a label of it would teach.

Sources: Lewis & Gale (1994), SIGIR, for asking where a model is uncertain; Houlsby et al. (2011),
arXiv:1112.5745, for asking where models disagree (BALD), of which the mutual information is the
Jensen–Shannon divergence of the models' answers (Lin 1991, IEEE Trans. Inf. Theory 37, 145).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import polars as pl

from morphoscope.catalog import require_columns
from morphoscope.errors import CatalogueError
from morphoscope.label.teaching.answers import (
    Answers,
    Floats,
    aligned_numbers,
    gather,
    mean,
    novelty,
)

__all__ = ["Order", "disagreement", "information", "teaches"]

Order = Literal["information", "disagreement", "unlike", "mixed"]

RIGHT_ANGLE = 90.0
# What the models say counts as so many votes: one person alone is no contradiction yet.
PRIOR_VOTES = 2.0
# Smaller errors of an angle (deg) are not believed.
LEAST_ERROR = 0.1
MISSING = {
    "disagreement": "the tables hold no two answers to one question, which could disagree",
    "unlike": "no table says which galaxies are unlike its training set",
}


def teaches(
    predictions: Sequence[pl.DataFrame],
    by: Order,
    *,
    ids: Sequence[str] | None = None,
    people: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Say how much a label of each galaxy would teach.

    Parameters
    ----------
    predictions
        Tables as `morphoscope predict` writes them, one a model, read as data frames. A table may
        also have ``distance``, how far each galaxy is from its training set, in any unit, instead
        of the flag ``unlike_training``.
    by
        ``information``: the entropy of the mean probabilities, as a share of the most that it can
        be; of models of inclinations also the width of the 68 % interval, as a share of 90°, as far
        as it is a disc. ``disagreement``: the Jensen–Shannon divergence of the models'
        probabilities (bits), which is the information that a label is expected to bring on which
        of them is right; of inclinations also 1 − exp(−z²/4), where z is the greatest difference
        of two models in units of their joint errors, as far as it is a disc. ``unlike``: the
        distance or the flag. ``mixed``: the mean rank by those of the three that the tables allow.
    ids
        The galaxies; None: all of the tables, in the order of their first appearance.
    people
        What people say, in the same columns: shares of ``votes``, their number, and the mean
        inclination with its interval. They disagree with the models' mean, or do not.

    Returns
    -------
    DataFrame
        ``id_str`` and ``teaches``, null where no table tells.

    Raises
    ------
    CatalogueError
        A table lacks the columns, or names a galaxy twice; or the tables do not allow this order.

    Examples
    --------
    >>> table = pl.DataFrame({"id_str": ["a", "b"], "p_x": [0.5, 1.0], "p_y": [0.5, 0.0]})
    >>> teaches([table], "information")["teaches"].to_list()
    [1.0, 0.0]
    """
    tables = list(predictions)
    asked = _named(tables) if ids is None else ids
    found = _found(tables, asked, people)
    if by == "mixed":
        values = mean(np.stack([_rank(one) for one in found.values()]))
    elif by in found:
        values = found[by]
    else:
        raise CatalogueError(MISSING[by], do="choose another order, or add a table", order=by)
    known = pl.Series(values, dtype=pl.Float64).fill_nan(None)
    return pl.DataFrame({"id_str": pl.Series(asked, dtype=pl.String), "teaches": known})


def _named(tables: list[pl.DataFrame]) -> list[str]:
    for table in tables:
        require_columns(table, ("id_str",), where="the table of predictions")
    names = (name for table in tables for name in table["id_str"].cast(pl.String))
    return list(dict.fromkeys(names))


def _found(
    tables: list[pl.DataFrame], ids: Sequence[str], people: pl.DataFrame | None
) -> dict[str, Floats]:
    """What the tables allow, by its name."""
    groups = gather(tables, ids)
    silent = np.full(len(ids), np.nan)
    found = {"information": _greatest([silent, *map(information, groups)])}
    compared = [group for group in groups if len(group.probabilities) > 1]
    if people is not None:
        compared += _beside_people(groups, people, ids)
    if compared:
        found["disagreement"] = _greatest(map(disagreement, compared))
    unlike = novelty(tables, ids)
    return found if unlike is None else {**found, "unlike": unlike}


def _greatest(values: Iterable[Floats]) -> Floats:
    return np.asarray(np.fmax.reduce(list(values)))


def information(answers: Answers) -> Floats:
    """What is not known of each galaxy, shape ``(n,)``: 0 where all is."""
    found = np.zeros(answers.probabilities.shape[1])
    if len(answers.classes) > 1:
        found = entropy(mean(answers.probabilities)) / np.log2(len(answers.classes))
    if answers.angles is None:
        return found
    return np.asarray(found + answers.disc * 2 * mean(answers.angles[1]) / RIGHT_ANGLE)


def disagreement(answers: Answers) -> Floats:
    """How far apart the answers are, shape ``(n,)``; not-a-number where only one is there."""
    found = divergence(answers.probabilities)
    if answers.angles is not None:
        apart = [
            _apart(answers.angles[:, one], answers.angles[:, other])
            for one, other in combinations(range(len(answers.probabilities)), 2)
        ]
        found = found + answers.disc * _greatest(apart)
    return found


def entropy(probabilities: Floats) -> Floats:
    """Entropy (bits) over the last axis; an impossible class adds nothing."""
    nothing = np.zeros(probabilities.shape)
    logs = np.log2(probabilities, out=nothing, where=probabilities > 0)
    return np.asarray(-(probabilities * logs).sum(-1))


def divergence(probabilities: Floats) -> Floats:
    """Jensen–Shannon divergence (bits) of the first axis; not-a-number of fewer than two."""
    number = np.isfinite(probabilities).all(-1).sum(0)
    found = entropy(mean(probabilities)) - mean(entropy(probabilities))
    return np.where(number > 1, np.maximum(found, 0), np.nan)


def _apart(one: Floats, other: Floats) -> Floats:
    """Squared Hellinger distance of two angles ``(2, n)`` with errors, as if these were alike."""
    errors = np.maximum([one[1], other[1]], LEAST_ERROR)
    return np.asarray(1 - np.exp(-((one[0] - other[0]) ** 2) / (errors**2).sum(0) / 4))


def _beside_people(
    groups: list[Answers], people: pl.DataFrame, ids: Sequence[str]
) -> list[Answers]:
    """The mean of each group beside what people say, where they answer the same question."""
    require_columns(people, ("id_str", "votes"), where="the table of people's answers")
    found = gather([people], ids)[0]
    votes = aligned_numbers(people, ids, ["votes"])
    compared = []
    for group in groups:
        same = set(group.classes) == set(found.classes)
        angles = None
        if group.angles is not None and found.angles is not None:
            own = np.stack([mean(group.angles[0]), mean(group.angles[1])])
            angles = np.stack([own, found.angles[:, 0]], axis=1)
        if not same and angles is None:
            continue
        said = theirs = mean(group.probabilities)
        if same:
            order = [found.classes.index(name) for name in group.classes]
            shares = found.probabilities[0][:, order]
            theirs = (votes * shares + PRIOR_VOTES * said) / (votes + PRIOR_VOTES)
        compared.append(Answers(group.classes, np.stack([said, theirs]), angles))
    return compared


def _rank(values: Floats) -> Floats:
    """Rank as a share of those that are known, from above 0 to 1; of equals the mean."""
    ranks = pl.Series(values).fill_nan(None).rank("average")
    known = max(1, len(ranks) - ranks.null_count())
    return np.asarray(ranks.cast(pl.Float64).fill_null(np.nan).to_numpy() / known, np.float64)
