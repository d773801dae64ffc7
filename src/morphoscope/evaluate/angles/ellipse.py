"""What everybody would do without a model: the formula of the ellipse, and a constant guess.

The axial ratios are measured on the same image files as the model's answers. The thickness of the
discs, and which of the ratios to take, are chosen on validation; the usual q0 = 0.2 stands beside
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.engine import Engine
from morphoscope.inclination import fit_thickness, inclination

__all__ = ["RATIOS", "USUAL", "Ellipse", "fit_ellipse", "measure_ratios", "unmeasured"]

Floats = NDArray[np.float64]
RATIOS = ("axial_ratio", "axial_ratio_isophote")
# Heidmann, Heidmann & de Vaucouleurs (1972) and most catalogues since.
USUAL = 0.2


@dataclass(frozen=True)
class Ellipse:
    """The formula, as far as it has something to choose.

    Attributes
    ----------
    ratio
        Which of the measured axial ratios it takes.
    q0
        Thickness fitted to known inclinations.
    n
        Galaxies it was fitted to.
    """

    ratio: str
    q0: float
    n: int

    def answer(self, ratios: pl.DataFrame, q0: float) -> Floats:
        """Inclinations (deg) by the formula; not-a-number where no axial ratio was measured."""
        return inclination(ratios[self.ratio].to_numpy(), q0)


def measure_ratios(files: Sequence[str], engine: Engine | None = None) -> pl.DataFrame:
    """Axial ratios of the galaxies in the middle of image files.

    Parameters
    ----------
    files
        Paths, or rows of an HDF5 dataset, see `read_image`.
    engine
        Where they are measured; ``None``: here.

    Returns
    -------
    polars.DataFrame
        One row a file: `RATIOS`, not-a-number where there is none, and ``flag``, the reason or a
        caution. Ratios that bear a caution are taken too: a formula that may pass over the hard
        galaxies would look better than it is.
    """
    from morphoscope.measure import measure_files

    measured = measure_files(list(files), engine)
    return measured.select(
        *(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in RATIOS),
        pl.col("flag").fill_null(""),
    )


def unmeasured(ratios: pl.DataFrame, name: str) -> dict[str, int]:
    """Why galaxies lack a ratio, and how many, the commonest reason first."""
    flags = ratios.filter(~pl.col(name).is_finite())["flag"].replace("", "not measured")
    counts = flags.value_counts().sort("count", "flag", descending=[True, False])
    return {flag: int(n) for flag, n in counts.rows()}


def fit_ellipse(ratios: pl.DataFrame, truth: Floats) -> Ellipse | None:
    """Choose the ratio and the thickness that come nearest to known inclinations.

    Parameters
    ----------
    ratios
        As from `measure_ratios`, of validation galaxies.
    truth
        Known inclinations (deg), shape ``(n,)``.

    Returns
    -------
    Ellipse
        Of the ratio with the least mean absolute error on the galaxies that have both, or of the
        one that has been measured. ``None`` where no ratio was.
    """
    usable = {name: np.isfinite(ratios[name].to_numpy()) & np.isfinite(truth) for name in RATIOS}
    usable = {name: chosen for name, chosen in usable.items() if chosen.any()}
    if not usable:
        return None
    common = np.logical_and.reduce(list(usable.values()))
    errors = {}
    for name, own in usable.items():
        chosen = common if common.any() else own
        ratio = ratios[name].to_numpy()[chosen]
        answers = inclination(ratio, fit_thickness(ratio, truth[chosen]))
        errors[name] = float(np.abs(answers - truth[chosen]).mean())
    best = min(errors, key=errors.__getitem__)
    own = usable[best]
    q0 = fit_thickness(ratios[best].to_numpy()[own], truth[own])
    return Ellipse(best, q0, int(own.sum()))
