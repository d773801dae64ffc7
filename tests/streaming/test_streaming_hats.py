"""HATS catalogues: read by their pixels, and written with the same ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.engine import Engine
from morphoscope.errors import CatalogueError, SourceError, StageError
from morphoscope.streaming import Task, stream
from morphoscope.streaming.inputs import sources_of

N = 240


@pytest.fixture(scope="module")
def hats() -> object:
    import logging
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import hats

    logging.getLogger("hats").setLevel(logging.ERROR)
    return hats


@pytest.fixture(scope="module")
def catalogue(hats: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galaxies over two orders of pixels, written by hats itself."""
    from hats.catalog import CatalogType, TableProperties
    from hats.catalog.partition_info import PartitionInfo
    from hats.io.parquet_metadata import write_parquet_metadata
    from hats.io.paths import pixel_catalog_file
    from hats.pixel_math import HealpixPixel, compute_spatial_index

    top = tmp_path_factory.mktemp("hats")
    (top / "sky").mkdir()
    for level in range(4):
        cv2.imwrite(str(top / f"sky/{level}.png"), np.full((4, 4), 60 * level, np.uint8))
    random = np.random.default_rng(5)
    ra, dec = random.uniform(0, 360, N), np.degrees(np.arcsin(random.uniform(-1, 1, N)))
    index = compute_spatial_index(ra, dec)
    columns = {"_healpix_29": index, "objid": np.arange(N), "ra": ra, "dec": dec}
    files = [f"sky/{i % 4}.png" for i in range(N)]
    frame = pl.DataFrame({**columns, "file": files}).sort("_healpix_29")
    folder = top / "cat"
    pixels = [HealpixPixel(0, p) for p in range(11)] + [HealpixPixel(1, p) for p in range(44, 48)]
    for pixel in pixels:
        path = Path(str(pixel_catalog_file(folder, pixel)))
        path.parent.mkdir(parents=True, exist_ok=True)
        inside = frame["_healpix_29"].to_numpy() >> 2 * (29 - pixel.order)
        frame.filter(pl.Series(inside == pixel.pixel)).write_parquet(path)
    PartitionInfo.from_healpix(pixels).write_to_file(catalog_path=folder)
    write_parquet_metadata(folder)
    properties = {"catalog_name": "cat", "catalog_type": CatalogType.OBJECT, "total_rows": N}
    TableProperties(**properties, ra_column="ra", dec_column="dec").to_properties_file(folder)
    return folder


@pytest.mark.parametrize("shard_rows", [1000, 5])
def test_the_result_is_a_catalogue_of_the_same_pixels(
    hats: object,
    catalogue: Path,
    task: Task,
    inline: Engine,
    tmp_path: Path,
    shard_rows: int,
) -> None:
    from hats import read_hats
    from hats.io.validation import is_valid_catalog

    out = tmp_path / "out"
    done = stream(task, catalogue, out=out, engine=inline, shard_rows=shard_rows)
    assert done.n == N
    assert is_valid_catalog(out, strict=True)
    before, after = read_hats(catalogue), read_hats(out)
    assert after.get_healpix_pixels() == before.get_healpix_pixels()
    assert after.catalog_info.total_rows == N
    assert (after.catalog_info.ra_column, after.catalog_info.dec_column) == ("ra", "dec")
    sizes = [pl.read_parquet(path).height for path in catalogue.glob("dataset/**/*.parquet")]
    assert len(list(out.rglob("*.parquet"))) == sum(-(-size // shard_rows) for size in sizes)
    for pixel in before.get_healpix_pixels():
        given = before.read_pixel_to_pandas(pixel)
        found = after.read_pixel_to_pandas(pixel)
        for name in ("_healpix_29", "ra", "dec"):
            np.testing.assert_array_equal(found[name], given[name])
        assert list(found["id_str"]) == list(map(str, given["objid"]))
        assert list(found["level"]) == [60 * (i % 4) for i in given["objid"]]
    # Again, and nothing is left to do.
    again = stream(task, catalogue, out=out, engine=inline, shard_rows=shard_rows)
    assert again.kept == N
    # Its own result is a table of files again.
    assert len(sources_of(out)) == len(list(out.rglob("*.parquet")))


def test_another_result_in_its_place_leaves_nothing_of_it(
    catalogue: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out, sky = tmp_path / "out", catalogue.parent / "sky"
    stream(task, catalogue, out=out, engine=inline)
    assert (out / "hats.properties").exists()
    (out / "notes.txt").touch()
    stream(task, sky, out=out, engine=inline, force=True)
    assert sorted(path.name for path in out.iterdir()) == [
        "_metadata.json",
        "notes.txt",
        "part-00000.parquet",
    ]


def test_in_one_file_the_position_is_kept(
    catalogue: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "o.parquet"
    stream(task, catalogue, out=out, engine=inline)
    found = pl.read_parquet(out)
    assert found.columns[:5] == ["_healpix_29", "ra", "dec", "id_str", "file_loc"]
    assert found.height == N


def test_a_catalogue_without_properties_is_told(
    catalogue: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "cat"
    shutil.copytree(catalogue, folder)
    (folder / "hats.properties").unlink()
    (folder / "properties").unlink()
    out = tmp_path / "o.parquet"
    with pytest.raises(SourceError, match=r"no properties; expected hats.properties.*dataset"):
        stream(task, folder, out=out, engine=inline)
    (folder / "properties").write_text("nonsense")
    with pytest.raises(SourceError, match="cannot be read as a HATS catalogue"):
        stream(task, folder, out=out, engine=inline)


def test_a_pixel_that_is_gone_is_told(
    catalogue: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    shutil.copytree(catalogue, tmp_path / "cat")
    shutil.copytree(catalogue.parent / "sky", tmp_path / "sky")
    stream(task, tmp_path / "cat", out=tmp_path / "out", engine=inline)
    next((tmp_path / "cat").rglob("Npix=7.parquet")).unlink()
    with pytest.raises(SourceError, match=r"Npix=7.parquet is not there"):
        stream(task, tmp_path / "cat", out=tmp_path / "out", engine=inline)
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 15


def test_a_pixel_that_changed_is_not_mixed_in(
    catalogue: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    shutil.copytree(catalogue, tmp_path / "cat")
    shutil.copytree(catalogue.parent / "sky", tmp_path / "sky")
    stream(task, tmp_path / "cat", out=tmp_path / "out", engine=inline)
    path = next((tmp_path / "cat").rglob("Npix=7.parquet"))
    pl.read_parquet(path, memory_map=False)[::-1].write_parquet(path)
    with pytest.raises(StageError, match="partition dataset/Norder=0/Dir=0/Npix=7 has changed"):
        stream(task, tmp_path / "cat", out=tmp_path / "out", engine=inline)


def test_no_column_of_files_is_told(
    hats: object, catalogue: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    with pytest.raises(CatalogueError, match="no column 'cutout'"):
        stream(task, catalogue, out=tmp_path / "o", engine=inline, file_column="cutout")
