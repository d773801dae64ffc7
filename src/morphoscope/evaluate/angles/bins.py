"""Where along the properties of the galaxies the errors are large, and who makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.evaluate.angles.sample import (
    Draws,
    Measured,
    compare,
    counted,
    score_measured,
)

__all__ = ["PROPERTIES", "Axis", "axes_of", "score_bins", "score_thirds"]

Floats = NDArray[np.float64]
TENS = tuple(float(edge) for edge in range(0, 91, 10))
THIRDS = (0.0, 30.0, 60.0, 90.0)
PARTS = 6
FEWEST_VALUES = 20
# Columns that simulated galaxies bring; real ones seldom do.
PROPERTIES = (
    ("half_light_radius_pixels", "half-light radius", "pixels"),
    ("signal_to_noise", "signal-to-noise", ""),
    ("bulge_fraction", "bulge fraction", ""),
    ("surface_brightness_r", "surface brightness", "mag/arcsec²"),
    ("tau", "optical depth of the dust", ""),
    ("psf_fwhm_arcsec", "seeing", "arcsec"),
    ("pixel_scale", "pixel scale", "arcsec"),
)


@dataclass(frozen=True)
class Axis:
    """A property that galaxies are sorted by.

    Attributes
    ----------
    key, title, unit
        Its column, its name in words, and its unit or nothing.
    values
        Shape ``(n,)``; not-a-number where it is not known.
    edges
        Rising bounds of the bins; the last bin holds its upper bound.
    """

    key: str
    title: str
    unit: str
    values: Floats
    edges: tuple[float, ...]


def axes_of(measured: Measured, properties: pl.DataFrame) -> list[Axis]:
    """True and predicted inclination in tens of degrees; what else is known, in equal numbers.

    Parameters
    ----------
    measured
        The answers.
    properties
        Rows of the catalogue of the same galaxies.
    """
    axes = [
        Axis("inclination_true", "true inclination", "deg", measured.truth, TENS),
        Axis("inclination", "predicted inclination", "deg", measured.value, TENS),
    ]
    for key, title, unit in PROPERTIES:
        if key not in properties.columns or not properties[key].dtype.is_numeric():
            continue
        values = properties[key].cast(pl.Float64).fill_null(np.nan).to_numpy()
        finite = values[np.isfinite(values)]
        if len(finite) < FEWEST_VALUES:
            continue
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, PARTS + 1)))
        if len(edges) > 2:
            axes.append(Axis(key, title, unit, values, tuple(edges.tolist())))
    return axes


def score_bins(
    axis: Axis, measured: Measured, others: dict[str, Floats], draws: Draws
) -> dict[str, Any]:
    """Scores in each bin that holds galaxies.

    Parameters
    ----------
    axis
        What to sort by.
    measured
        The answers.
    others
        Inclinations (deg) by other ways, not-a-number where there is none, shape ``(n,)``.
    draws
        Samples of the same galaxies.

    Returns
    -------
    dict
        ``key``, ``title``, ``unit`` and ``bins``: for each ``low``, ``high``, ``n``, the scores,
        the coverage with exact intervals, and ``others``: the comparison with each other way.
    """
    bins = []
    for low, high, chosen in _parts(axis.values, axis.edges):
        some, drawn = measured.take(chosen), draws.take(chosen)
        bins.append(
            {
                "low": low,
                "high": high,
                "n": len(some),
                **score_measured(some, drawn),
                "coverage_68": counted(some.held_68, drawn.confidence),
                "coverage_90": counted(some.held_90, drawn.confidence),
                "others": {
                    name: compare(some.truth, some.value, other[chosen], drawn)
                    for name, other in others.items()
                },
            }
        )
    return {"key": axis.key, "title": axis.title, "unit": axis.unit, "bins": bins}


def score_thirds(measured: Measured, confidence: float) -> dict[str, list[dict[str, Any]]]:
    """Coverage at low, middle and high inclination, by predicted and by true value."""
    found = {}
    for name, values in (("predicted", measured.value), ("true", measured.truth)):
        found[name] = [
            {
                "low": low,
                "high": high,
                "coverage_68": counted(measured.held_68[chosen], confidence),
                "coverage_90": counted(measured.held_90[chosen], confidence),
            }
            for low, high, chosen in _parts(values, THIRDS)
        ]
    return found


def _parts(values: Floats, edges: Sequence[float]) -> list[tuple[float, float, NDArray[np.bool_]]]:
    place = np.searchsorted(np.asarray(edges[1:-1]), values, side="right")
    parts = []
    for index, (low, high) in enumerate(pairwise(edges)):
        chosen = (place == index) & np.isfinite(values)
        if chosen.any():
            parts.append((low, high, chosen))
    return parts
