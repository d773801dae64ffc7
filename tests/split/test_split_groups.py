"""Groups are connected components, checked against slow and independent ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import BallTree

from morphoscope.catalog import read_table
from morphoscope.errors import CatalogueError, SplitError
from morphoscope.recipe import SplitSettings
from morphoscope.split.groups import find_groups, join, join_neighbours, sdss_fields

ARCSEC = np.pi / 180 / 3600


def same_partition(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    pairs = len({*zip(a.tolist(), b.tolist())})
    return pairs == len(np.unique(a)) == len(np.unique(b))


def components(n: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = connected_components(
        coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False
    )[1]
    return found


def sky_components(
    ra: NDArray[np.float64], dec: NDArray[np.float64], within: float
) -> NDArray[np.int64]:
    """By scikit-learn's haversine tree and scipy's graph."""
    place = np.radians(np.column_stack([dec, ra]))
    near = BallTree(place, metric="haversine").query_radius(place, within * ARCSEC)
    a = np.repeat(np.arange(len(ra)), [len(one) for one in near])
    return components(len(ra), a, np.concatenate(near))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.data())
def test_join_finds_connected_components(n: int, data: st.DataObject) -> None:
    row = st.integers(0, n - 1)
    links = np.array(data.draw(st.lists(st.tuples(row, row), max_size=80)), np.int64).reshape(-1, 2)
    labels = np.arange(n)
    for piece in np.array_split(links, 3):
        labels = join(labels, piece[:, 0], piece[:, 1])
    assert same_partition(labels, components(n, links[:, 0], links[:, 1]))
    smallest = [np.flatnonzero(labels == label)[0] for label in labels]
    assert labels.tolist() == smallest


def test_join_of_a_long_chain_in_random_order() -> None:
    order = np.random.default_rng(1).permutation(50_000)
    assert not join(np.arange(50_000), order[:-1], order[1:]).any()


@pytest.mark.parametrize("within", [0.3, 20.0, 300.0, 3600.0])
@pytest.mark.parametrize("field", ["sky", "pole", "seam", "deep"])
def test_sky_neighbours_are_those_of_a_ball_tree(within: float, field: str) -> None:
    rng = np.random.default_rng(1)
    n = 600
    width = 20 * within / 3600
    ra, dec = {
        "sky": (rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))),
        "pole": (rng.uniform(0, 360, n), 90 - width * np.sqrt(rng.uniform(0, 1, n))),
        "seam": (rng.uniform(-width, width, n) % 360, rng.uniform(-width, width, n)),
        "deep": (150 + rng.uniform(0, width, n) / 4, 2 + rng.uniform(0, width, n) / 4),
    }[field]
    close = np.concatenate([ra, ra + 0.7 * within / 3600]), np.concatenate([dec, dec])
    found = join_neighbours(np.arange(2 * n), *close, within)
    truth = sky_components(*close, within)
    assert same_partition(found, truth)
    assert 1 < len(np.unique(truth)) < 2 * n or field == "deep"


@pytest.mark.parametrize("start", range(8))
def test_crowded_cells_that_meet_in_one_late_point(start: int) -> None:
    """Two dense clumps 12 arcsec apart, and a last galaxy of the one that reaches the other."""
    rng = np.random.default_rng(3)
    left, right = rng.uniform(0, 0.5, 200), 12.5 + rng.uniform(0, 0.5, 200)
    # Cells are 5.8 arcsec wide: with some of the starts the last galaxy shares the clump's cell.
    ra = 10 + (start + np.concatenate([left, right, [3.0]])) / 3600
    apart = join_neighbours(np.arange(400), ra[:-1], np.zeros(400), 10.0)
    assert len(np.unique(apart)) == 2
    assert not join_neighbours(np.arange(401), ra, np.zeros(401), 10.0).any()


def test_a_shorter_reach_of_the_same_sky_only_divides() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(10, 10.5, 2000), rng.uniform(-0.5, 0, 2000)
    coarse = join_neighbours(np.arange(2000), ra, dec, 60)
    fine = join_neighbours(np.arange(2000), ra, dec, 30)
    assert len(set(zip(coarse.tolist(), fine.tolist()))) == len(np.unique(fine))
    assert len(np.unique(coarse)) < len(np.unique(fine)) < 2000


def test_unknown_positions_have_no_neighbours() -> None:
    frame = pl.DataFrame({"ra": [None, None, 10.0, 10.0], "dec": [5.0, 5.0, 5.0, None]})
    groups = find_groups(frame, SplitSettings(neighbours_arcsec=3600.0))
    assert groups.tolist() == [0, 1, 2, 3]
    nowhere = frame.with_columns(pl.lit(None, pl.Float64).alias("ra"))
    assert find_groups(nowhere, SplitSettings(neighbours_arcsec=1.0)).tolist() == [0, 1, 2, 3]


def test_groups_join_through_all_that_is_shared() -> None:
    frame = pl.DataFrame(
        {
            "pixel_sha256": ["p", "q", "p", "r", "s", "t"],
            "object": [None, "A", "A", "", "", None],
            "frame": [1.5, None, float("nan"), float("nan"), 1.5, None],
        }
    )
    assert find_groups(frame, SplitSettings()).tolist() == [0, 1, 0, 2, 3, 4]
    assert find_groups(frame, SplitSettings(groups=["object"])).tolist() == [0, 0, 0, 1, 2, 3]
    both = SplitSettings(groups=["object", "frame"])
    assert find_groups(frame, both).tolist() == [0, 0, 0, 1, 0, 2]


@pytest.mark.parametrize("where", [{"groups": ["nope"]}, {"sdss_field": "nope"}])
def test_a_column_that_is_not_there_is_named(where: dict[str, object]) -> None:
    with pytest.raises(CatalogueError, match="no column 'nope'"):
        find_groups(pl.DataFrame({"id_str": ["1"]}), SplitSettings.model_validate(where))


def objid(run: int, camcol: int, field: int, number: int) -> int:
    """An objid from its parts, as SDSS documents the bits."""
    return 2 << 59 | 301 << 48 | run << 32 | camcol << 29 | field << 16 | number


def test_sdss_fields_are_the_bits_of_the_objid() -> None:
    here = objid(752, 3, 40, 1)
    others = [objid(753, 3, 40, 1), objid(752, 4, 40, 1), objid(752, 3, 41, 1)]
    ids = [here, objid(752, 3, 40, 65535), *others]
    for column in (pl.Series(ids), pl.Series(map(str, ids)), pl.Series(ids, dtype=pl.UInt64)):
        fields = sdss_fields(column)
        assert fields[0] == fields[1]
        assert fields.n_unique() == 4
    assert sdss_fields(pl.Series([here, None])).to_list()[1] is None


@pytest.mark.parametrize("values", [["galaxy7"], [12345], ["587722952767439450", ""]])
def test_other_ids_are_no_sdss_fields(values: list[object]) -> None:
    with pytest.raises(SplitError, match="1 values of column 'name' are no SDSS objids"):
        sdss_fields(pl.Series("name", values))


def test_objids_that_lost_digits_are_refused() -> None:
    with pytest.raises(SplitError, match="floating-point"):
        sdss_fields(pl.Series("objid", [5.877e17]))


@pytest.mark.real
def test_fields_of_real_galaxies(real_data: Path) -> None:
    frame = read_table(real_data / "galaxy-zoo-1" / "labels.csv")
    groups = find_groups(frame, SplitSettings(sdss_field="objid"))
    truth = [
        (i >> 32 & 0xFFFF, i >> 29 & 7, i >> 16 & 0xFFF, i >> 48)
        for i in frame["objid"].cast(pl.Int64)
    ]
    numbers = {field: number for number, field in enumerate(dict.fromkeys(truth))}
    assert same_partition(groups, np.array([numbers[field] for field in truth]))
    assert 1000 < len(np.unique(groups)) < frame.height
