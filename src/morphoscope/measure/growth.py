"""Half-light radius and concentration, from the light within growing ellipses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morphoscope.sources.moments import Ellipse
from morphoscope.sources.sky import Floats

__all__ = ["half_light_and_concentration"]

Wide = NDArray[np.float64]
# The whole light is that within so many first moments of it (Kron 1980, ApJS 43, 305).
KRON = 2.5
FLATTEST = 0.1
SHARES = (0.2, 0.5, 0.8)


def half_light_and_concentration(
    light: Floats, hidden: NDArray[np.bool_], ellipse: Ellipse, footprint: NDArray[np.bool_]
) -> tuple[float, float]:
    """Semi-major axis that holds half of the light, and the concentration of the light.

    What is hidden has the mean of the light seen on its ring. The whole light is that within 2.5
    Kron radii, which leaves out some 4 % of an exponential disc.

    Parameters
    ----------
    light
        Above the sky, shape ``(ny, nx)``.
    hidden
        Pixels that tell nothing of the galaxy: other sources and holes.
    ellipse
        Form of the rings.
    footprint
        Pixels of the galaxy.

    Returns
    -------
    tuple of float
        Radius (pixels along the major axis), and 5 log10(r80 / r20) of the radii that hold 80 and
        20 % (Conselice 2003, ApJS 147, 1). Not-a-number where there is no light.
    """
    radius = _radii(light.shape, ellipse)
    kron = _kron(light, radius, footprint)
    if not kron > 0:
        return np.nan, np.nan
    edges = np.arange(int(np.ceil(KRON * kron)) + 2.0)
    mean = _profile(light, hidden, radius, len(edges) - 1)
    grown = np.concatenate([[0.0], np.cumsum(mean * np.diff(edges**2))])
    grown = np.maximum.accumulate(grown)
    whole = float(np.interp(KRON * kron, edges, grown))
    if whole <= 0:
        return np.nan, np.nan
    # Within a ring light grows with the area.
    inner, half, outer = np.sqrt(np.interp(np.multiply(SHARES, whole), grown, edges**2))
    return float(half), float(5 * np.log10(outer / inner)) if inner > 0 else np.nan


def _radii(shape: tuple[int, ...], ellipse: Ellipse) -> Wide:
    """Semi-major axis of the ellipse through each pixel."""
    ratio = float(np.clip(np.nan_to_num(ellipse.axial_ratio, nan=1.0), FLATTEST, 1.0))
    angle = np.radians(ellipse.position_angle)
    dy = (np.arange(shape[0]) - ellipse.y)[:, None]
    dx = np.arange(shape[1]) - ellipse.x
    along = dy * np.cos(angle) + dx * np.sin(angle)
    across = (dx * np.cos(angle) - dy * np.sin(angle)) / ratio
    return np.asarray(np.hypot(along, across))


def _kron(light: Floats, radius: Wide, footprint: NDArray[np.bool_]) -> float:
    weight = light[footprint].astype(np.float64)
    total = weight.sum()
    return float((weight * radius[footprint]).sum() / total) if total > 0 else 0.0


def _profile(light: Floats, hidden: NDArray[np.bool_], radius: Wide, rings: int) -> Wide:
    """Mean light on rings one pixel wide; rings on which nothing is seen, from their neighbours."""
    seen = ~hidden & (radius < rings)
    ring = radius[seen].astype(np.intp)
    count = np.bincount(ring, minlength=rings)
    total = np.bincount(ring, light[seen].astype(np.float64), minlength=rings)
    full = np.nonzero(count)[0]
    if not len(full):
        return np.zeros(rings)
    return np.asarray(np.interp(np.arange(rings), full, total[full] / count[full]))
