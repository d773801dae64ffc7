"""From answers to ``metrics.json``: every score with its interval, its n and its competitors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.evaluate.angles.bins import axes_of, score_bins, score_thirds
from morphoscope.evaluate.angles.ellipse import RATIOS, USUAL, Ellipse, unmeasured
from morphoscope.evaluate.angles.sample import Draws, Measured, compare, score_measured
from morphoscope.evaluate.assess import Resampling

__all__ = ["LEAST_RADIUS", "TILTED", "Galaxies", "assess_angles", "headline_part"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
# What the field measures by hand: face-on discs show no tilt, small ones no shape.
TILTED = (20.0, 90.0)
LEAST_RADIUS = 4.0
RADIUS = "half_light_radius_pixels"


@dataclass(frozen=True)
class Galaxies:
    """Discs of known inclination, the model's answers and what else is known of them.

    Attributes
    ----------
    measured
        Truth and answers, ``n`` galaxies.
    properties
        Their rows of the catalogue.
    ratios
        Their axial ratios, as from `measure_ratios`.
    kept
        Whether the model takes each for a disc, shape ``(n,)``.
    units
        Group of each where groups hold several, else ``None``.
    """

    measured: Measured
    properties: pl.DataFrame
    ratios: pl.DataFrame
    kept: Mask
    units: NDArray[Any] | None


def headline_part(galaxies: Galaxies) -> tuple[Mask, str]:
    """Galaxies that the headline is about, and the rule in words."""
    truth = galaxies.measured.truth
    chosen = (truth >= TILTED[0]) & (truth <= TILTED[1])
    words = f"a true inclination of {TILTED[0]:.0f} to {TILTED[1]:.0f}°"
    if RADIUS in galaxies.properties.columns:
        radius = galaxies.properties[RADIUS].cast(pl.Float64).fill_null(np.nan).to_numpy()
        chosen = chosen & (radius >= LEAST_RADIUS)
        words += f" and a half-light radius of at least {LEAST_RADIUS:.0f} pixels"
    return np.asarray(chosen), words


def assess_angles(
    galaxies: Galaxies,
    draws: Draws,
    ellipse: Ellipse | None,
    constant: float,
    resampling: Resampling,
) -> dict[str, Any]:
    """Compute every score of the inclinations on the test split.

    Parameters
    ----------
    galaxies
        Test discs of known inclination.
    draws
        Bootstrap samples of them.
    ellipse
        The formula as chosen on validation; ``None`` where nothing could be measured there.
    constant
        The guess that needs no image (deg).
    resampling
        How the samples were drawn, to be told.

    Returns
    -------
    dict
        JSON values, see ``docs/inclination.md``.
    """
    measured = galaxies.measured
    chosen, words = headline_part(galaxies)
    ways = _ways(galaxies, ellipse, constant)
    in_bins = {name: way for name, way in ways.items() if name != "formula_usual"}
    return {
        "n_test": len(measured),
        "interval": {
            "method": "percentile bootstrap",
            "unit": "image" if galaxies.units is None else "group",
            "units": len(measured) if galaxies.units is None else len(np.unique(galaxies.units)),
            "samples": resampling.samples,
            "confidence": resampling.confidence,
            "seed": resampling.seed,
        },
        "scores": score_measured(measured, draws),
        "headline": _part(measured, draws, chosen),
        "headline_rule": words,
        "kept": _part(measured, draws, galaxies.kept),
        "thirds": score_thirds(measured, resampling.confidence),
        "formula": _formula(galaxies, ellipse),
        "constant": {"value": constant},
        "others": {
            part: {name: _against(measured, draws, some, other) for name, other in ways.items()}
            for part, some in (("all", np.ones(len(measured), bool)), ("headline", chosen))
        },
        "bins": [
            score_bins(axis, measured, in_bins, draws)
            for axis in axes_of(measured, galaxies.properties)
        ],
    }


def _ways(galaxies: Galaxies, ellipse: Ellipse | None, constant: float) -> dict[str, Floats]:
    """Other ways to an inclination, by name: the formula as usual and as fitted, and the guess."""
    guess = {"constant": np.full(len(galaxies.measured), constant)}
    if ellipse is None:
        return guess
    return {
        "formula": ellipse.answer(galaxies.ratios, ellipse.q0),
        "formula_usual": ellipse.answer(galaxies.ratios, USUAL),
        **guess,
    }


def _part(measured: Measured, draws: Draws, chosen: Mask) -> dict[str, Any] | None:
    if not chosen.any():
        return None
    return score_measured(measured.take(chosen), draws.take(chosen))


def _against(measured: Measured, draws: Draws, chosen: Mask, other: Floats) -> Any:
    some = measured.take(chosen)
    return compare(some.truth, some.value, other[chosen], draws.take(chosen))


def _formula(galaxies: Galaxies, ellipse: Ellipse | None) -> dict[str, Any]:
    """What the formula rests on, and where it has no answer."""
    told = unmeasured(galaxies.ratios, ellipse.ratio if ellipse else RATIOS[0])
    chosen: dict[str, Any] = {"ratio": None, "q0": None, "n_fitted": 0}
    if ellipse:
        chosen = {"ratio": ellipse.ratio, "q0": ellipse.q0, "n_fitted": ellipse.n}
    return {**chosen, "usual": USUAL, "flags": told}
