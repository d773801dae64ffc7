"""The population: which galaxies there are, each drawn from a seed and its index alone."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np

from morphoscope.errors import RecipeError
from morphoscope.simulate.galaxy import Arms, Bar, Bulge, Disc, Galaxy, axial_ratio

__all__ = ["CLASSES", "assign_classes", "draw_galaxy", "generator"]

# Ranges (lowest, highest). Volunteers of Galaxy Zoo 2 call a smooth galaxy round down to b/a of
# about 0.8 and cigar-shaped below about 0.4 (Willett et al. 2013, MNRAS 435, 2835).
AXIAL_RATIO = {"round": (0.8, 1.0), "in_between": (0.4, 0.8), "cigar": (0.2, 0.4)}
EDGE_ON_INCLINATION = (80.0, 90.0)
SPIRAL_INCLINATION = (0.0, 65.0)
MAGNITUDE_R = (14.8, 18.5)
RADIUS_ARCSEC = (1.5, 6.5)
BRIGHTEST_SHARE = 0.4  # of the faintest galaxies' number, in a linear rise with magnitude
BULGE_FLATTENING = 0.7
BARRED = 0.35
ARM_NUMBERS = {2: 0.6, 3: 0.22, 4: 0.18}


def generator(seed: int, index: int, stream: int) -> np.random.Generator:
    """Give the random numbers of one galaxy; streams are independent of each other."""
    return np.random.default_rng(np.random.SeedSequence([seed, index], spawn_key=(stream,)))


def draw_galaxy(seed: int, index: int, kind: str) -> Galaxy:
    """Draw one galaxy of a class.

    Parameters
    ----------
    seed, index
        Decide every value, on any machine and in any order.
    kind
        One of ``CLASSES``.

    Returns
    -------
    Galaxy
        Its truth.

    Examples
    --------
    >>> draw_galaxy(1, 17, "spiral") == draw_galaxy(1, 17, "spiral")
    True
    """
    return DRAW[kind](generator(seed, index, 0), index, kind)


def _smooth(rng: np.random.Generator, index: int, kind: str) -> Galaxy:
    low, high = AXIAL_RATIO[kind]
    early = rng.random() < 0.7
    # Rounded to 0.1: GalSim tabulates each index once, which costs more than drawing.
    sersic_n = _normal(rng, 3.6, 1.0, 1.5, 5.0) if early else _normal(rng, 1.5, 0.5, 1.0, 2.5)
    magnitude = _magnitude(rng)
    return Galaxy(
        index=index,
        kind=kind,
        magnitude_r=magnitude,
        radius_arcsec=_radius(rng, magnitude, 4.2 if kind != "cigar" else 5.0),
        axial_ratio=rng.uniform(low, high),
        position_angle_deg=rng.uniform(0, 180),
        g_r=_normal(rng, 0.86, 0.09, 0.6, 1.1) if early else _normal(rng, 0.56, 0.13, 0.25, 0.9),
        sersic_n=round(sersic_n if kind != "cigar" else 0.6 + sersic_n / 2, 1),
    )


def _edge_on(rng: np.random.Generator, index: int, kind: str) -> Galaxy:
    inclination = _inclination(rng, EDGE_ON_INCLINATION)
    thickness = _normal(rng, 0.28, 0.1, 0.1, 0.55)
    magnitude = _magnitude(rng)
    radius = _radius(rng, magnitude, 4.8)
    # Light that crosses the whole disc is reddened.
    g_r = _normal(rng, 0.66, 0.14, 0.3, 1.0)
    bulge = _bulge(rng, radius, inclination, g_r) if rng.random() < 0.65 else None
    return Galaxy(
        index=index,
        kind=kind,
        magnitude_r=magnitude,
        radius_arcsec=radius,
        axial_ratio=axial_ratio(inclination, math.pi * thickness / 6),
        position_angle_deg=rng.uniform(0, 180),
        g_r=g_r,
        disc=Disc(inclination, thickness, bulge),
    )


def _spiral(rng: np.random.Generator, index: int, kind: str) -> Galaxy:
    inclination = _inclination(rng, SPIRAL_INCLINATION)
    thickness = _normal(rng, 0.2, 0.06, 0.1, 0.4)
    magnitude = _magnitude(rng)
    radius = _radius(rng, magnitude, 5.0)
    g_r = _normal(rng, 0.52, 0.13, 0.25, 0.85)
    bulge = _bulge(rng, radius, inclination, g_r) if rng.random() < 0.9 else None
    bar = None
    if rng.random() < BARRED:
        bar = Bar(rng.uniform(0.06, 0.18), radius * rng.uniform(0.4, 0.8))
    return Galaxy(
        index=index,
        kind=kind,
        magnitude_r=magnitude,
        radius_arcsec=radius,
        axial_ratio=axial_ratio(inclination, math.pi * thickness / 6),
        position_angle_deg=rng.uniform(0, 180),
        g_r=g_r,
        disc=Disc(inclination, thickness, bulge, _arms(rng, radius, g_r, bar), bar),
    )


def _bulge(rng: np.random.Generator, radius: float, inclination: float, g_r: float) -> Bulge:
    fraction = float(np.clip(rng.lognormal(math.log(0.14), 0.65), 0.02, 0.5))
    return Bulge(
        fraction=fraction,
        sersic_n=round(2 * _normal(rng, 1.5 + 3 * fraction, 0.7, 1.0, 4.0)) / 2,
        radius_arcsec=radius * _normal(rng, 0.2 + 0.3 * fraction, 0.06, 0.1, 0.5),
        axial_ratio=axial_ratio(inclination, BULGE_FLATTENING),
        g_r=max(_normal(rng, 0.84, 0.08, 0.6, 1.05), g_r),
    )


def _arms(rng: np.random.Generator, radius: float, g_r: float, bar: Bar | None) -> Arms:
    return Arms(
        number=int(rng.choice(list(ARM_NUMBERS), p=list(ARM_NUMBERS.values()))) if not bar else 2,
        pitch_angle_deg=_normal(rng, 19, 7, 8, 38),
        contrast=_normal(rng, 0.5, 0.22, 0.1, 0.9),
        sharpness=rng.uniform(1.0, 4.0),
        begin_arcsec=bar.radius_arcsec if bar else radius * rng.uniform(0.2, 0.5),
        phase_deg=rng.uniform(0, 360),
        patchiness=rng.uniform(0.2, 0.9),
        patches=int(rng.integers(2**32)),
        winding=int(rng.choice((-1, 1))),
        g_r=g_r - rng.uniform(0.08, 0.35),
    )


def _magnitude(rng: np.random.Generator) -> float:
    low, high = MAGNITUDE_R
    a, u = BRIGHTEST_SHARE, rng.random()
    share = (math.sqrt(a * a + u * (1 - a * a)) - a) / (1 - a)
    return float(low + (high - low) * share)


def _radius(rng: np.random.Generator, magnitude: float, typical: float) -> float:
    """Draw a half-light radius; brighter galaxies are larger (Shen et al. 2003)."""
    low, high = (math.log10(bound) for bound in RADIUS_ARCSEC)
    middle = math.log10(typical) - 0.1 * (magnitude - 16.5)
    return math.pow(10.0, _normal(rng, middle, 0.13, low, high))


def _inclination(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw the inclination of a disc that may point anywhere: uniform in its cosine."""
    low, high = (math.cos(math.radians(bound)) for bound in bounds)
    return math.degrees(math.acos(rng.uniform(high, low)))


def _normal(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    """Draw from a normal distribution cut at both ends."""
    whole = NormalDist(mean, spread)
    below, above = whole.cdf(low), whole.cdf(high)
    return min(max(whole.inv_cdf(rng.uniform(below, above)), low), high)


DRAW: dict[str, Callable[[np.random.Generator, int, str], Galaxy]] = {
    "round": _smooth,
    "in_between": _smooth,
    "cigar": _smooth,
    "edge_on": _edge_on,
    "spiral": _spiral,
}
CLASSES = tuple(DRAW)


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
        if name not in DRAW:
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
