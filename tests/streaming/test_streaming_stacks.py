"""Zarr arrays and FITS stacks: a row a slice, read without the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import zarr
from astropy.io import fits

from morphoscope.engine import Engine
from morphoscope.errors import ImageError, SourceError, StageError
from morphoscope.images import image_size, read_bands, read_image
from morphoscope.images.naming import files_of
from morphoscope.streaming import Task, stream
from morphoscope.streaming.inputs import write_listing

RANDOM = np.random.default_rng(3)
COLOUR = RANDOM.integers(0, 255, (20, 6, 7, 3), dtype=np.uint8)


def listed(images: str | Path, tmp_path: Path) -> list[tuple[str, str]]:
    listing = write_listing(images, tmp_path / "listing", shard_rows=1000)
    return [tuple(row.values()) for row in listing.shard(0).to_pylist()]


def store(path: Path, values: Any, name: str = "images", **options: Any) -> Path:
    group = zarr.open_group(path, mode="a")
    options.setdefault("chunks", (8, *values.shape[1:]))
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, **options)
    array[...] = values
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_rows_of_zarr_are_images(tmp_path: Path, version: int) -> None:
    path = tmp_path / "g.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=version)
    flux = RANDOM.normal(size=(5, 2, 6, 7)).astype(np.float32)
    for name, values in {
        "images": COLOUR,
        "turned": COLOUR.transpose(0, 3, 1, 2),
        "grey": COLOUR[..., 0],
        "flux": flux,
        "deep": COLOUR.astype(np.uint16) * 257,
        "cube": COLOUR[..., None],
        "names": np.arange(20),
    }.items():
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=values.shape)
        group[name][...] = values
    for index in (19, 3):
        np.testing.assert_array_equal(read_image(f"{path}::images[{index}]"), COLOUR[index])
        np.testing.assert_array_equal(read_image(f"{path}::turned[{index}]"), COLOUR[index])
        np.testing.assert_array_equal(read_image(f"{path}::deep[{index}]"), COLOUR[index])
        np.testing.assert_array_equal(
            read_image(f"{path}::grey[{index}]")[..., 0], COLOUR[index, ..., 0]
        )
    np.testing.assert_array_equal(read_image(f"{path}::flux[4]"), flux[4].transpose(1, 2, 0))
    assert image_size(f"{path}::images[0]") == (6, 7)
    assert files_of(f"{path}::images[0]") == [str(path)]
    for address, reason in {
        "images[20]": "missing",
        "absent[0]": "missing",
        "names[0]": "not_an_image",
        "cube[0]": "not_an_image",
    }.items():
        with pytest.raises(ImageError) as caught:
            read_image(f"{path}::{address}")
        assert caught.value.reason == reason
    with pytest.raises(ImageError, match="Zarr, which has no named bands"):
        read_bands(f"{path}::images[0]", ("g",))


def test_names_of_dimensions_decide_where_sizes_do_not(tmp_path: Path) -> None:
    values = RANDOM.integers(0, 255, (4, 3, 5, 3), dtype=np.uint8)
    path = store(tmp_path / "a.zarr", values)
    assert read_image(f"{path}::images[0]").shape == (3, 5, 3)
    path = store(tmp_path / "b.zarr", values, dimension_names=("n", "band", "y", "x"))
    assert read_image(f"{path}::images[0]").shape == (5, 3, 3)


def test_a_chunk_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store(tmp_path / "a.zarr", COLOUR)
    read: list[Any] = []
    get = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda a, s: (read.append(s), get(a, s))[1])
    for index in range(20):
        np.testing.assert_array_equal(read_image(f"{path}::images[{index}]"), COLOUR[index])
    assert read == [slice(0, 8), slice(8, 16), slice(16, 20)]


def test_a_store_is_found_and_named(tmp_path: Path) -> None:
    path = store(tmp_path / "in/g.zarr", COLOUR)
    assert listed(path, tmp_path)[19] == ("g[19]", f"{path}::images[19]")
    store(path, RANDOM.normal(size=(5, 2, 6, 7)), "flux")
    assert len(listed(path, tmp_path)) == 20
    assert listed(f"{path}::flux", tmp_path)[4] == ("g[4]", f"{path}::flux[4]")
    store(path, np.arange(100, 120), "objid", chunks=(20,))
    assert listed(path, tmp_path)[19][0] == "119"
    assert len(listed(tmp_path / "in", tmp_path)) == 20
    shutil.copytree(path, tmp_path / "in/h.zarr")
    assert [row[1] for row in listed(f"{tmp_path}/in/*.zarr", tmp_path)][::20] == [
        f"{tmp_path}/in/{name}.zarr::images[0]" for name in "gh"
    ]
    array = zarr.create_array(tmp_path / "one.zarr", shape=(3, 6, 7), chunks=(1, 6, 7), dtype="u1")
    array[...] = 9
    rows = listed(tmp_path / "one.zarr", tmp_path)
    assert rows[2] == ("one[2]", f"{tmp_path}/one.zarr::/[2]")
    assert read_image(rows[2][1]).mean() == 9


@pytest.mark.parametrize("shape", [(20,), (20, 6), (2, 9, 6, 7, 1), (4, 9, 6, 7)])
def test_a_store_of_a_wrong_shape_is_told(
    task: Task, inline: Engine, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = store(tmp_path / "g.zarr", np.zeros(shape, np.uint8))
    with pytest.raises((SourceError, ImageError), match=r"expected.*\(n, y, x"):
        stream(task, path, out=tmp_path / "o.parquet", engine=inline)


def test_a_folder_that_is_called_zarr_and_is_none(
    task: Task, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "g.zarr").mkdir()
    with pytest.raises(SourceError, match="cannot be read as Zarr"):
        stream(task, tmp_path / "g.zarr", out=tmp_path / "o.parquet", engine=inline)


def test_a_store_is_cut_where_its_chunks_are(task: Task, inline: Engine, tmp_path: Path) -> None:
    path = store(tmp_path / "g.zarr", np.zeros((500, 4, 4), np.uint8), chunks=(48, 4, 4))
    out = tmp_path / "out"
    done = stream(task, path, out=out, engine=inline, batch=30)
    rows = [pl.read_parquet(one).height for one in sorted(out.rglob("*.parquet"))]
    assert rows == [96, 96, 96, 96, 96, 20]
    assert done.n == 500
    # A chunk that is written anew makes another input.
    next(out.rglob("part-00003.parquet")).unlink()
    zarr.open(path, mode="a")["images"][470] = np.full((4, 4), 3, np.uint8)
    with pytest.raises(StageError, match="other images"):
        stream(task, path, out=out, engine=inline)


def test_slices_of_fits_are_images(tmp_path: Path) -> None:
    cube = RANDOM.normal(size=(12, 4, 5)).astype(np.float32)
    deep = RANDOM.integers(0, 60_000, (3, 2, 4, 5)).astype(np.uint16)
    path = tmp_path / "s.fits"
    names = fits.BinTableHDU.from_columns([fits.Column("objid", "K", array=np.arange(12) + 7)])
    hdus = [fits.PrimaryHDU(cube), fits.ImageHDU(deep, name="SCI"), names]
    fits.HDUList(hdus).writeto(path)
    found = read_image(f"{path}[0][11]")
    np.testing.assert_array_equal(found[::-1, :, 0], cube[11])
    found = read_image(f"{path}[SCI][2]")
    np.testing.assert_array_equal(found[::-1], deep[2].transpose(1, 2, 0))
    assert image_size(f"{path}[SCI][2]") == (4, 5)
    assert files_of(f"{path}[SCI][2]") == [str(path)]
    with pytest.raises(ImageError, match="no slice 12") as caught:
        read_image(f"{path}[0][12]")
    assert caught.value.reason == "missing"
    rows = listed(path, tmp_path)
    assert rows[11] == ("18", f"{path}[0][11]")
    assert len(rows) == 12
    assert listed(f"{path}[SCI][:]", tmp_path)[2] == ("s[SCI][2]", f"{path}[SCI][2]")
    assert [row[1] for row in listed(f"{path}[:]", tmp_path)] == [f"{path}[0]", f"{path}[1]"]
    with pytest.raises(SourceError, match=r"no image \[ABC\]"):
        listed(f"{path}[ABC][:]", tmp_path)
    # A few planes may be the bands of one galaxy.
    fits.PrimaryHDU(cube[:3]).writeto(tmp_path / "bands.fits")
    assert listed(tmp_path / "bands.fits", tmp_path) == [("bands", f"{tmp_path}/bands.fits")]
    assert len(listed(f"{tmp_path}/b*.fits[0][:]", tmp_path)) == 3


def test_the_bands_of_a_slice_are_found_by_name(tmp_path: Path) -> None:
    deep = RANDOM.normal(size=(3, 2, 4, 5)).astype(np.float32)
    hdu = fits.ImageHDU(deep, name="SCI")
    hdu.header["BANDS"] = "gr"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "s.fits")
    found = read_bands(f"{tmp_path}/s.fits[SCI][1]", ("r", "g"))
    np.testing.assert_array_equal(found[::-1], deep[1, ::-1].transpose(1, 2, 0))


def test_only_the_slice_that_is_asked_for_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.fits"
    fits.PrimaryHDU(np.zeros((200, 40, 50), np.float32)).writeto(path)
    got: list[int] = []
    section = fits.hdu.image.Section.__getitem__
    monkeypatch.setattr(
        fits.hdu.image.Section,
        "__getitem__",
        lambda self, key: (got.append(key), section(self, key))[1],
    )
    monkeypatch.setattr(fits.PrimaryHDU, "data", property(lambda self: pytest.fail("all is read")))
    read_image(f"{path}[0][150]")
    assert got == [150]


def test_a_stack_that_ends_too_early_has_all_its_rows(
    task: Task, inline: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "s.fits"
    fits.PrimaryHDU(np.ones((20, 40, 50), np.float32)).writeto(path)
    path.write_bytes(path.read_bytes()[: 2880 + 10 * 8000 + 100])
    done = stream(task, path, out=tmp_path / "o.parquet", engine=inline)
    flags = pl.read_parquet(tmp_path / "o.parquet")["flag"]
    assert done.n == 20
    assert flags.to_list() == ["truncated"] * 20
