"""A million galaxies split: groups by SDSS field and by neighbours on the sky.

Grouping by neighbours runs beside scipy's KD-tree and connected components, in turns, and must find
as many groups. Then the whole stage runs, once as hold-out and once as k-fold, and must end within
the bound. Times are seconds of CPU over all threads, so that a busy machine does not decide.

    python benchmarks/split_million.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import write_catalogue
from morphoscope.recipe import SplitSettings
from morphoscope.split import split
from morphoscope.split.groups import join_neighbours

SEED = 1
ARCSEC = np.pi / 180 / 3600
CLASSES = {"smooth": 0.5, "spiral": 0.3, "edge_on": 0.19998, "rare": 0.00002}


def make_galaxies(n: int) -> pl.DataFrame:
    """Galaxies all over the footprint of SDSS, with objids of run, camera column and field."""
    rng = np.random.default_rng(SEED)
    run, camcol = rng.integers(94, 8000, n), rng.integers(1, 7, n)
    field, number = rng.integers(11, 800, n), rng.integers(1, 400, n)
    objid = (2 << 59 | 301 << 48) + (run << 32) + (camcol << 29) + (field << 16) + number
    dec = np.degrees(np.arcsin(rng.uniform(0, np.sin(np.radians(60)), n)))
    return pl.DataFrame(
        {
            "id_str": [f"{i:07d}" for i in range(n)],
            "file_loc": "none",
            "ra": rng.uniform(110, 260, n),
            "dec": dec,
            "objid": objid,
            "class": rng.choice(list(CLASSES), n, p=list(CLASSES.values())),
        }
    )


def by_cells(ra: NDArray[np.float64], dec: NDArray[np.float64], within: float) -> int:
    """Number of groups, ours."""
    rows = np.arange(len(ra))
    return int(np.count_nonzero(join_neighbours(rows, ra, dec, within) == rows))


def by_tree(ra: NDArray[np.float64], dec: NDArray[np.float64], within: float) -> int:
    """Number of groups, by scipy."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    lon, lat = np.radians(ra), np.radians(dec)
    place = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    reach = 2 * np.sin(within * ARCSEC / 2)
    pairs = cKDTree(place).query_pairs(reach, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), np.int8), pairs.T), shape=(len(ra), len(ra)))
    return int(connected_components(links, directed=False)[0])


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """CPU time of a call, and its answer."""
    began = time.process_time()
    answer = work()
    return time.process_time() - began, answer


def compare(frame: pl.DataFrame, within: float, repeats: int) -> None:
    """Time the grouping by neighbours, ours and scipy's in turns."""
    ra, dec = frame["ra"].to_numpy(), frame["dec"].to_numpy()
    times: dict[str, list[float]] = {"cells": [], "tree": []}
    answers = set()
    for _ in range(repeats):
        for name, way in (("cells", by_cells), ("tree", by_tree)):
            took, answer = seconds(partial(way, ra, dec, within))
            times[name].append(took)
            answers.add(answer)
    assert len(answers) == 1, f"ours and scipy's groups differ: {answers}"
    ratio = statistics.median(b / a for a, b in zip(times["cells"], times["tree"]))
    for name, found in times.items():
        low, high = min(found), max(found)
        print(f"  {name:6} {statistics.median(found):6.2f} [{low:.2f}–{high:.2f}] s")
    print(f"  {within:g} arcsec: {answers.pop():,} groups; scipy takes {ratio:.2f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bound-s", type=float, default=30.0)
    asked = parser.parse_args()
    frame = make_galaxies(asked.rows)
    for within in (5.0, 60.0):
        compare(frame, within, asked.repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_catalogue(folder / "in.parquet", frame, {"classes": list(CLASSES)})
        for kind in ("holdout", "kfold"):
            settings = SplitSettings.model_validate(
                {"kind": kind, "sdss_field": "objid", "neighbours_arcsec": 5.0}
            )
            work = partial(
                split, settings, catalogue=folder / "in.parquet", seed=SEED, out=folder / kind
            )
            took, summary = seconds(work)
            print(f"{kind}: {took:.1f} s, {summary}")
            assert took < asked.bound_s, f"{kind} took {took:.1f} s, more than {asked.bound_s} s"


if __name__ == "__main__":
    main()
