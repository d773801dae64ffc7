"""Axial ratio and inclination of a thick, round disc (Hubble 1926).

A flattened spheroid of edge-on axial ratio q0, seen at the inclination i, has the axial ratio q:

    cos² i = (q² − q0²) / (1 − q0²)

It is the field's usual way from an ellipse to an inclination. It knows nothing of a bulge, which
makes q rounder, nor of the seeing, which does the same to small galaxies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["axial_ratio", "fit_thickness", "inclination"]

Floats = NDArray[np.float64]
# Discs are thinner: 0.1 … 0.3 is what the field takes, and a spheroid of 0.6 is no disc.
THICKEST = 0.6
STEP = 0.001


def axial_ratio(inclination: ArrayLike, q0: float) -> Floats:
    """Axial ratio b/a of a disc seen at an inclination.

    Parameters
    ----------
    inclination
        Deg, 0 face-on … 90 edge-on, any shape; not-a-number stays.
    q0
        Axial ratio of the disc seen edge-on, 0 ≤ q0 < 1.

    Returns
    -------
    numpy.ndarray
        q0 … 1, the shape of `inclination`.

    Raises
    ------
    ValueError
        `q0` is not in 0 … 1.

    Notes
    -----
    Hubble (1926), ApJ 64, 321: q² = cos² i + q0² sin² i.

    Examples
    --------
    >>> axial_ratio([0, 60, 90], 0.2).round(3).tolist()
    [1.0, 0.529, 0.2]
    """
    _check(q0)
    angle = np.radians(np.asarray(inclination, dtype=np.float64))
    return np.asarray(np.hypot(np.cos(angle), q0 * np.sin(angle)))


def inclination(axial_ratio: ArrayLike, q0: float) -> Floats:
    """Inclination at which a disc has an axial ratio.

    Parameters
    ----------
    axial_ratio
        b/a, any shape; not-a-number stays.
    q0
        Axial ratio of the disc seen edge-on, 0 ≤ q0 < 1.

    Returns
    -------
    numpy.ndarray
        Deg, 0 face-on … 90 edge-on, the shape of `axial_ratio`: 90 where that is `q0` or less,
        0 where it is 1 or more.

    Raises
    ------
    ValueError
        `q0` is not in 0 … 1.

    Notes
    -----
    Hubble (1926), ApJ 64, 321: cos² i = (q² − q0²) / (1 − q0²).

    Examples
    --------
    >>> inclination([1.0, 0.5, 0.2, 0.1], 0.2).round(1).tolist()
    [0.0, 62.1, 90.0, 90.0]
    """
    _check(q0)
    return _tilt(np.asarray(axial_ratio, dtype=np.float64), q0)


def fit_thickness(axial_ratio: ArrayLike, inclination: ArrayLike) -> float:
    """Thickness q0 whose formula comes nearest to known inclinations.

    Parameters
    ----------
    axial_ratio
        b/a of discs, shape ``(n,)``.
    inclination
        Their inclinations (deg), shape ``(n,)``. Pairs with a not-a-number are left out.

    Returns
    -------
    float
        Of the values 0, 0.001 … 0.6 the one with the least mean absolute error; the thinnest of
        equals.

    Raises
    ------
    ValueError
        No pair is whole.

    Examples
    --------
    >>> from morphoscope.inclination import axial_ratio
    >>> angles = [20, 40, 60, 80, 90]
    >>> fit_thickness(axial_ratio(angles, 0.13), angles)
    0.13
    """
    ratio = np.asarray(axial_ratio, dtype=np.float64)
    angle = np.asarray(inclination, dtype=np.float64)
    whole = np.isfinite(ratio) & np.isfinite(angle)
    if not whole.any():
        raise ValueError("no disc has both an axial ratio and an inclination")
    ratio, angle = ratio[whole], angle[whole]
    tried = np.arange(round(THICKEST / STEP) + 1) * STEP
    errors = [np.abs(_tilt(ratio, q0) - angle).mean() for q0 in tried.tolist()]
    return round(float(tried[int(np.argmin(errors))]), 3)


def _tilt(ratio: Floats, q0: float) -> Floats:
    ratio = np.clip(ratio, q0, 1.0)
    return np.asarray(np.degrees(np.arccos(np.sqrt((ratio**2 - q0**2) / (1 - q0**2)))))


def _check(q0: float) -> None:
    if not 0 <= q0 < 1:
        raise ValueError(f"the thickness q0 is {q0}; it must be 0 or more and less than 1")
