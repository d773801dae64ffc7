"""Where it fails: accuracy along the properties of the galaxies and of their pictures."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.evaluate.shapes import measure_shapes
from morphoscope.prepare.views import as_pictures

__all__ = ["chi_square_tail", "examples", "picture_properties", "weak_spots"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
BINS = 5
FEWEST = 60
SIGNIFICANCE = 0.01
MOST = 6
BLOCK = 512
# Row numbers, labels, stages' own columns; and positions, which matter through these properties
# only.
NOT_PROPERTIES = frozenset({"group", "fold", "ra", "dec", "id", "objid", "ans"})


def weak_spots(
    properties: pl.DataFrame, right: NDArray[np.bool_], confidence: float
) -> dict[str, Any]:
    """Find properties along which the share of right answers changes more than by chance.

    Each numeric column is cut into fifths. A chi-square test asks whether the accuracy of the
    fifths differs; the level 0.01 is divided by the number of columns (Bonferroni).

    Parameters
    ----------
    properties
        One row an image; numeric columns are looked at.
    right
        Whether the answer was right, shape ``(n,)``.
    confidence
        Confidence of the interval of each fifth (Wilson 1927).

    Returns
    -------
    dict
        ``tested``: names; ``found``: at most six, strongest first, each with ``name``, ``p_value``
        and ``bins`` of ``low``, ``high``, ``n``, ``accuracy`` with interval; ``compared``: of every
        name tested the median among right and among wrong answers (none: ``None``), and the
        ``p_value``.
    """
    compared: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for name in properties.columns:
        values = _usable(properties[name], name)
        if values is None:
            continue
        cut = _cut(values, right, confidence)
        if cut:
            found.append({"name": name, "p_value": _p_value(cut), "bins": cut})
            medians = {"right": _median(values[right]), "wrong": _median(values[~right])}
            compared.append({"name": name, "p_value": found[-1]["p_value"], **medians})
    level = SIGNIFICANCE / max(1, len(found))
    strong = sorted((f for f in found if f["p_value"] < level), key=lambda f: f["p_value"])
    return {
        "tested": [one["name"] for one in compared],
        "found": strong[:MOST],
        "compared": sorted(compared, key=lambda one: one["p_value"]),
    }


def examples(
    values: Floats, right: NDArray[np.bool_], spot: dict[str, Any], n: int
) -> tuple[Integers, Integers]:
    """Choose wrong answers of a property's worst part, and right ones of its best.

    Parameters
    ----------
    values
        The property, shape ``(rows,)``.
    right
        Whether each answer was right, shape ``(rows,)``.
    spot
        One of what `weak_spots` found.
    n
        Images of each kind at most, evenly along the property.
    """
    by_accuracy = sorted(spot["bins"], key=lambda entry: entry["accuracy"]["value"])
    chosen = []
    for part, wanted in ((by_accuracy[0], ~right), (by_accuracy[-1], right)):
        rows = np.flatnonzero((values >= part["low"]) & (values <= part["high"]) & wanted)
        rows = rows[np.argsort(values[rows], kind="stable")]
        chosen.append(rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64)])
    return chosen[0], chosen[1]


def _median(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def picture_properties(images: NDArray[Any], rows: NDArray[np.int64]) -> pl.DataFrame:
    """Properties that every prepared picture has: grey levels, and the galaxy's shape.

    Parameters
    ----------
    images
        Prepared images, shape ``(n, channel, y, x)``; measured as they are shown.
    rows
        Which of them.
    """
    blocks = [rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK)]
    parts = [_measured(as_pictures(images[block])) for block in blocks]
    names = ("mean grey level", "spread of grey levels", "grey level at the edge")
    columns = np.concatenate(parts, axis=1)
    grey = pl.DataFrame({f"picture: {name}": v for name, v in zip(names, columns, strict=True)})
    shapes = [measure_shapes(as_pictures(images[block])) for block in blocks]
    return grey.hstack(pl.concat(shapes))


def _measured(images: NDArray[np.uint8]) -> Floats:
    grey = images.mean(1, dtype=np.float32)
    edge = max(1, grey.shape[1] // 8)
    rim = np.ones(grey.shape[1:], dtype=bool)
    rim[edge:-edge, edge:-edge] = False
    measured = [grey.mean((1, 2)), grey.std((1, 2)), grey[:, rim].mean(1)]
    return np.asarray(measured, dtype=np.float64)


def _usable(column: pl.Series, name: str) -> Floats | None:
    if not column.dtype.is_numeric() or name.lower() in NOT_PROPERTIES:
        return None
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    finite = values[np.isfinite(values)]
    identifiers = column.dtype.is_integer() and np.abs(finite).max(initial=0) > 1e9
    if identifiers or len(finite) < FEWEST or len(np.unique(finite)) < 3:
        return None
    return np.asarray(values)


def _cut(
    values: Floats, right: NDArray[np.bool_], confidence: float
) -> list[dict[str, Any]] | None:
    finite = np.isfinite(values)
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, BINS + 1)))
    place = np.searchsorted(edges[1:-1], values, side="right")
    bins: list[dict[str, Any]] = []
    for index in range(len(edges) - 1):
        chosen = finite & (place == index)
        n = int(chosen.sum())
        if not n:
            continue
        low, high = _wilson(int(right[chosen].sum()), n, confidence)
        bins.append(
            {
                "low": float(values[chosen].min()),
                "high": float(values[chosen].max()),
                "accuracy": {"value": float(right[chosen].mean()), "low": low, "high": high},
                "n": n,
            }
        )
    return bins if len(bins) > 1 else None


def _wilson(right: int, n: int, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = right / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * np.sqrt(share * (1 - share) / n + weight / (4 * n))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _p_value(bins: list[dict[str, Any]]) -> float:
    n = np.array([entry["n"] for entry in bins], dtype=float)
    share = np.array([entry["accuracy"]["value"] for entry in bins])
    overall = (n * share).sum() / n.sum()
    if overall in (0.0, 1.0):
        return 1.0
    statistic = float((n * (share - overall) ** 2).sum() / (overall * (1 - overall)))
    return chi_square_tail(statistic, len(bins) - 1)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Probability that a chi-square variable exceeds ``statistic``.

    Approximation of Wilson & Hilferty (1931), good to 0.005 for two degrees and more.

    Examples
    --------
    >>> round(chi_square_tail(9.488, 4), 2)
    0.05
    """
    width = 2 / (9 * freedom)
    score = ((statistic / freedom) ** (1 / 3) - (1 - width)) / np.sqrt(width)
    return float(NormalDist().cdf(-score))
