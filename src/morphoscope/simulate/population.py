"""The population: which galaxies there are, each drawn from a seed and its index alone."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping

import numpy as np

from morphoscope.errors import RecipeError
from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.classes import draw_edge_on, draw_smooth, draw_spiral
from morphoscope.simulate.discs import draw_disc
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.mergers import draw_merger
from morphoscope.simulate.others import draw_bad_image, draw_elliptical, draw_star
from morphoscope.simulate.streams import generator
from morphoscope.simulate.view import View, draw_view

__all__ = ["CLASSES", "assign_classes", "draw_galaxy"]

# Of these, size and brightness do not depend on the survey.
FIXED: dict[str, Callable[[np.random.Generator, int, str], Galaxy]] = {
    "round": draw_smooth,
    "in_between": draw_smooth,
    "cigar": draw_smooth,
    "edge_on": draw_edge_on,
    "spiral": draw_spiral,
}
FITTED = {
    "disc": draw_disc,
    "elliptical": draw_elliptical,
    "merger": draw_merger,
    "star": draw_star,
    "bad_image": draw_bad_image,
}
CLASSES = (*FIXED, *FITTED)


def draw_galaxy(
    seed: int,
    index: int,
    kind: str,
    settings: SimulateSettings | None = None,
    view: View | None = None,
) -> Galaxy:
    """Draw one galaxy of a class.

    Parameters
    ----------
    seed, index
        Decide every value, on any machine and in any order.
    kind
        One of ``CLASSES``.
    settings
        Size of the cutout, survey, zoom and inclinations, on which the classes from ``disc`` on
        depend; nothing: the defaults.
    view
        What ``draw_view`` gives for them, where it is known.

    Returns
    -------
    Galaxy
        Its truth.

    Examples
    --------
    >>> draw_galaxy(1, 17, "spiral") == draw_galaxy(1, 17, "spiral")
    True
    """
    rng = generator(seed, index, 0)
    if kind in FIXED:
        return FIXED[kind](rng, index, kind)
    settings = settings or SimulateSettings()
    return FITTED[kind](rng, index, view or draw_view(seed, index, settings), settings)


def assign_classes(fractions: Mapping[str, float], n: int, seed: int) -> list[str]:
    """Give each index its class, so that the counts are the fractions of n.

    Counts are rounded by the largest remainder and the order is shuffled by the seed.

    Parameters
    ----------
    fractions
        Share of each class; normalised to one.
    n
        Number of galaxies.
    seed
        Seed of the population.

    Returns
    -------
    list
        Class of index 0, 1, … n − 1.

    Raises
    ------
    RecipeError
        A class is unknown, a share is negative, or none is positive.

    Examples
    --------
    >>> sorted(assign_classes({"round": 2, "spiral": 1}, 3, seed=1))
    ['round', 'round', 'spiral']
    """
    _check_fractions(fractions)
    total = math.fsum(fractions.values())
    exact = {name: n * share / total for name, share in fractions.items()}
    counts = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: n - sum(counts.values())]:
        counts[name] += 1
    names = [name for name in sorted(counts) for _ in range(counts[name])]
    return [names[k] for k in np.random.default_rng([seed, n]).permutation(n)]


def _check_fractions(fractions: Mapping[str, float]) -> None:
    for name, share in fractions.items():
        if name not in CLASSES:
            near = difflib.get_close_matches(name, CLASSES, n=1, cutoff=0.5)
            raise RecipeError(
                f"simulate.fractions names the class {name!r}",
                expected=", ".join(CLASSES),
                do=f"did you mean {near[0]!r}?" if near else "use one of these",
            )
        if not 0 <= share < math.inf:
            raise RecipeError(f"simulate.fractions.{name} is {share}", expected="0 or more")
    if not sum(fractions.values()) > 0:
        raise RecipeError("simulate.fractions has no share above 0", expected="at least one")
