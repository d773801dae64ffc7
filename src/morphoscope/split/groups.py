"""Which galaxies have to stay together, because they share pixels, an object, a frame or a place.

A group is a connected component: if a belongs to b and b to c, all three stay together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import require_columns
from morphoscope.errors import SplitError
from morphoscope.recipe import SplitSettings

__all__ = ["find_groups", "join", "join_neighbours", "sdss_fields"]

Rows = NDArray[np.int64]

ARCSEC = np.pi / 180 / 3600
# Odd numbers near 2**64 over roots: cells that differ share a key with probability 2**-64.
HASH = np.array([-7046029254386353131, 3202034522624059733, -2968130838519512711], np.int64)
# A cell's diagonal is the reach, so that only cells up to two away can hold a neighbour; of each
# pair of opposite offsets one is enough.
OFFSETS = np.array(
    sorted(
        (
            step
            for step in itertools.product(range(-2, 3), repeat=3)
            if step > (0, 0, 0) and sum(max(abs(s) - 1, 0) ** 2 for s in step) < 3
        ),
        key=lambda step: sum(s * s for s in step),
    ),
    np.int64,
)
CANDIDATES = 1 << 21


def find_groups(frame: pl.DataFrame, settings: SplitSettings) -> Rows:
    """Number the groups of galaxies that stay together.

    Parameters
    ----------
    frame
        (n rows) A catalogue; ``pixel_sha256``, if there, joins images with the same pixels.
    settings
        ``groups``, ``sdss_field`` and ``neighbours_arcsec`` say what else joins galaxies. Unknown
        values join nothing.

    Returns
    -------
    numpy.ndarray
        (n,) Group of each galaxy, counted from 0 in the order in which they appear.

    Raises
    ------
    CatalogueError
        A column is absent.
    SplitError
        The column of SDSS ids holds something else.
    """
    labels = np.arange(frame.height, dtype=np.int64)
    for values in _shared_values(frame, settings):
        labels = join(labels, *_equal(values))
    if settings.neighbours_arcsec:
        require_columns(frame, ("ra", "dec"), where="the catalogue")
        ra, dec = (frame[name].cast(pl.Float64).fill_null(np.nan) for name in ("ra", "dec"))
        labels = join_neighbours(labels, ra.to_numpy(), dec.to_numpy(), settings.neighbours_arcsec)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _shared_values(frame: pl.DataFrame, settings: SplitSettings) -> Iterator[pl.Series]:
    if "pixel_sha256" in frame.columns:
        yield frame["pixel_sha256"]
    require_columns(frame, tuple(settings.groups), where="the catalogue")
    yield from (frame[name] for name in settings.groups)
    if settings.sdss_field:
        require_columns(frame, (settings.sdss_field,), where="the catalogue")
        yield sdss_fields(frame[settings.sdss_field])


def sdss_fields(objid: pl.Series) -> pl.Series:
    """Number of the SDSS field that each object was measured in.

    An SDSS photometric objid is made of bits: version 59–62, rerun 48–58, run 32–47, camera column
    29–31, first field 28, field 16–27, object 0–15. Without the last 16 bits it names the field.

    Parameters
    ----------
    objid
        (n,) SDSS objids, DR7 or later, as integers or text.

    Returns
    -------
    polars.Series
        (n,) int64; null where ``objid`` is.

    Raises
    ------
    SplitError
        Some are no SDSS objids, or went through floating point and lost digits.

    References
    ----------
    SkyServer glossary, "objID"; Stoughton et al. 2002, AJ 123, 485.

    Examples
    --------
    >>> sdss_fields(pl.Series(["587722981741363294", "587722981741363323"])).n_unique()
    1
    """
    found = f"column {objid.name!r}"
    if objid.dtype.is_float():
        raise SplitError(
            f"{found} holds floating-point numbers, which cannot hold an 18-digit SDSS objid",
            do="write the table again with the ids as text",
        )
    ids = objid.cast(pl.Int64, strict=False)
    camcol = (ids // 2**29) % 8
    wrong = objid.is_not_null() & ~(ids.is_not_null() & camcol.is_between(1, 6)).fill_null(False)
    if wrong.any():
        raise SplitError(
            f"{wrong.sum():,} values of {found} are no SDSS objids, as {objid.filter(wrong)[0]!r}",
            expected="18 digits as 587722981741363294",
            do="name another column as split.sdss_field, or leave it empty",
        )
    return ids // 2**16


def _equal(values: pl.Series) -> tuple[Rows, Rows]:
    """Links from each row to the first one with the same value."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype == pl.String:
        values = values.replace("", None)
    table = pl.DataFrame({"value": values}).with_row_index("row").drop_nulls()
    links = table.select(
        pl.col("row").cast(pl.Int64), pl.col("row").min().over("value").alias("to")
    )
    return links["row"].to_numpy(), links["to"].cast(pl.Int64).to_numpy()


def join(labels: Rows, a: Rows, b: Rows) -> Rows:
    """Join the components of rows ``a[i]`` and ``b[i]``.

    Parameters
    ----------
    labels
        (n,) The smallest row of each row's component.
    a, b
        (m,) Rows that belong together.

    Returns
    -------
    numpy.ndarray
        (n,) New labels.
    """
    while True:
        low, high = np.minimum(labels[a], labels[b]), np.maximum(labels[a], labels[b])
        apart = low != high
        if not apart.any():
            return labels
        a, b = a[apart], b[apart]
        labels = labels.copy()
        np.minimum.at(labels, high[apart], low[apart])
        while not np.array_equal(shorter := labels[labels], labels):
            labels = shorter


def join_neighbours(
    labels: Rows, ra: NDArray[np.float64], dec: NDArray[np.float64], within_arcsec: float
) -> Rows:
    """Join galaxies that are closer on the sky than ``within_arcsec``.

    Unit vectors are sorted into cells whose diagonal is the reach: all within a cell are
    neighbours, and only cells nearby can hold more. Galaxies far from any other are left out first.

    Parameters
    ----------
    labels
        (n,) The smallest row of each row's component.
    ra, dec
        (n,) Position (deg); NaN has no neighbours.
    within_arcsec
        Great-circle distance (arcsec).

    Returns
    -------
    numpy.ndarray
        (n,) New labels.
    """
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    lon, lat = np.radians(ra[rows]), np.radians(dec[rows])
    flat = np.cos(lat)
    vectors = np.column_stack([flat * np.cos(lon), flat * np.sin(lon), np.sin(lat)])
    reach = 2 * np.sin(min(within_arcsec * ARCSEC, np.pi) / 2)
    crowded = _crowded(vectors, reach)
    rows, vectors = rows[crowded], vectors[crowded]
    keys = np.floor(vectors * (np.sqrt(3) / reach)).astype(np.int64) @ HASH
    order = np.argsort(keys, kind="stable")
    sky = _Cells(rows[order], vectors[order], keys[order], reach)
    labels = join(labels, sky.rows, sky.rows[np.repeat(sky.start, sky.size)])
    for step in OFFSETS @ HASH:
        labels = sky.join_at(labels, step)
    return labels


def _crowded(vectors: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """Whether a point may have a neighbour: neighbours share a cell of one of these eight grids."""
    crowded = np.zeros(len(vectors), bool)
    for shift in itertools.product((0.0, 0.5), repeat=3):
        keys = np.floor(vectors / (2 * reach) + shift).astype(np.int64) @ HASH
        crowded |= pl.Series(keys).is_duplicated().to_numpy()
    return crowded


class _Cells:
    """Points on the sky, sorted by the keys of their cells."""

    def __init__(self, rows: Rows, vectors: NDArray[np.float64], keys: Rows, reach: float) -> None:
        self.rows, self.vectors, self.reach = rows, vectors, reach
        self.keys, self.start, self.size = np.unique(keys, return_index=True, return_counts=True)

    def join_at(self, labels: Rows, step: np.int64) -> Rows:
        """Join neighbours in cells that lie one ``step`` apart."""
        if not len(self.keys):
            return labels
        wanted = self.keys + step
        there = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        here = np.flatnonzero(self.keys[there] == wanted)
        there = there[here]
        # A few points of each cell settle most pairs of crowded cells; the others are tried whole.
        for most in (4, len(self.rows)):
            first = self.rows[self.start]
            apart = labels[first[here]] != labels[first[there]]
            here, there = here[apart], there[apart]
            for a, b in self._candidates(here, there, most):
                near = ((self.vectors[a] - self.vectors[b]) ** 2).sum(1) < self.reach**2
                labels = join(labels, self.rows[a[near]], self.rows[b[near]])
        return labels

    def _candidates(self, here: Rows, there: Rows, most: int) -> Iterator[tuple[Rows, Rows]]:
        """Pairs of points of paired cells, at most ``most`` of each cell, in bounded pieces."""
        a, pair = _spread(self.start[here], np.minimum(self.size[here], most))
        first, n = self.start[there][pair], np.minimum(self.size[there], most)[pair]
        pieces = np.cumsum(n) // CANDIDATES
        for piece in np.split(np.arange(len(a)), np.flatnonzero(np.diff(pieces)) + 1):
            b, which = _spread(first[piece], n[piece])
            yield a[piece][which], b


def _spread(start: Rows, n: Rows) -> tuple[Rows, Rows]:
    """Runs ``start[i], start[i] + 1, …`` of length ``n[i]``, and the ``i`` of each."""
    which = np.repeat(np.arange(len(n)), n)
    return start[which] + np.arange(len(which)) - np.repeat(np.cumsum(n) - n, n), which
