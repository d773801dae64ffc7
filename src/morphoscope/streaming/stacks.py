"""Arrays with an image a row, as partitions: Zarr stores and stacks of FITS cutouts.

Rows are told by their number, so that none has to be listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from morphoscope.acquire.listing import as_text, stem
from morphoscope.errors import ImageError, SourceError
from morphoscope.images.fits import as_cube, chosen, holds_image, open_fits
from morphoscope.images.formats import VALUES_PER_PIXEL
from morphoscope.images.zarrs import METADATA, open_images, open_zarr
from morphoscope.streaming.source import Row, Stamp, Surveyed, digest_of, stamp_of, table_of
from morphoscope.streaming.tables import ID_NAMES

__all__ = ["EACH", "FitsSource", "ZarrSource", "fits_stack", "is_zarr"]

USUAL = ("images", "image", "cutouts", "data")
BLOCK_ROWS = 16_384
# Behind a FITS file, or what chooses an image of it: each of those in it.
EACH = "[:]"


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in METADATA)


@dataclass(frozen=True)
class ZarrSource:
    """An array of a store; an array of ids beside it names the rows."""

    path: str
    name: str
    array: str = ""

    def survey(self, index: Path) -> Surveyed:
        images = open_images(self.path, self._array())
        n = int(images.array.shape[0])
        digest = digest_of(self.name, self._array(), images.array.shape, _tree(self.path))
        return Surveyed(n, digest, self.state(), grain=int(images.array.chunks[0]))

    def state(self) -> Stamp:
        # Of the store's own description; its chunks are looked at once, by `survey`.
        marks = [Path(self.path) / name for name in METADATA]
        return stamp_of(next((mark for mark in marks if mark.exists()), marks[0]))

    def table(self, start: int, stop: int, index: Path) -> pa.Table:
        array = self._array()
        names = self._ids(start, stop) or [
            f"{Path(self.path).stem}[{row}]" for row in range(start, stop)
        ]
        files = [f"{as_text(self.path)}::{array}[{row}]" for row in range(start, stop)]
        return table_of(zip(names, files, strict=True))

    def rows(self) -> Iterator[Row]:
        return _rows(self, int(open_images(self.path, self._array()).array.shape[0]))

    def _array(self) -> str:
        """Name of the array of images in the store."""
        try:
            node = open_zarr(self.path)
        except (OSError, ValueError, KeyError) as error:
            raise SourceError(
                f"{self.path} cannot be read as Zarr ({error})", do="check the path"
            ) from error
        if self.array or hasattr(node, "shape"):
            return self.array or "/"
        arrays = {name: one.ndim for name, one in node.arrays()}
        usual = [name for name in USUAL if arrays.get(name, 0) >= 3]
        found = usual[:1] or [name for name, axes in arrays.items() if axes in (3, 4)]
        if len(found) != 1:
            raise SourceError(
                f"{self.path} has the arrays {', '.join(sorted(arrays)) or 'none'}",
                expected=f"one of images, (n, y, x[, channel]), or one called {USUAL[0]}",
                do=f"name it: {self.path}::NAME",
            )
        return found[0]

    def _ids(self, start: int, stop: int) -> list[str] | None:
        array = self._array()
        group = open_zarr(self.path)
        if hasattr(group, "shape"):
            return None
        n = group[array].shape[0]
        above = array.strip("/").rpartition("/")[0]
        beside = {name.lower(): one for name, one in (group[above] if above else group).arrays()}
        found = next((beside[name] for name in ID_NAMES if name in beside), None)
        if found is None or tuple(found.shape) != (n,):
            return None
        return [_text(value) for value in found[start:stop]]


def _tree(folder: str) -> str:
    """Digest of the names, sizes and times of all files of a store."""
    digest = ""
    for place, folders, files in os.walk(folder):
        folders.sort()
        states = [(name, *stamp_of(Path(place, name))) for name in sorted(files)]
        digest = digest_of(digest, os.path.relpath(place, folder), states)
    return digest


@dataclass(frozen=True)
class FitsSource:
    """Slices of one image of a FITS file (`hdu`), or each image of the file (`hdu` is empty)."""

    path: str
    name: str
    hdu: str = ""

    def survey(self, index: Path) -> Surveyed:
        stamp = self.state()
        addresses = self._addresses()
        return Surveyed(len(addresses), digest_of(self.name, self.hdu, stamp), stamp)

    def state(self) -> Stamp:
        return stamp_of(self.path)

    def table(self, start: int, stop: int, index: Path) -> pa.Table:
        addresses = self._addresses()[start:stop]
        names = self._ids(start, stop) or [f"{stem(self.path)}{one}" for one in addresses]
        files = [f"{as_text(self.path)}{one}" for one in addresses]
        return table_of(zip(names, files, strict=True))

    def rows(self) -> Iterator[Row]:
        return _rows(self, len(self._addresses()))

    def _addresses(self) -> Sequence[str]:
        """What stands in brackets behind the file, for every row."""
        with _told(self.path) as hdus:
            if not self.hdu:
                return [f"[{place}]" for place, hdu in enumerate(hdus) if holds_image(hdu)]
            hdu = _image(hdus, self.hdu, self.path)
            if len(hdu.shape) < 3:
                raise SourceError(
                    f"the image [{self.hdu}] of {self.path} has the shape {tuple(hdu.shape)}",
                    expected="(n, y, x) or (n, channel, y, x)",
                )
            return [f"[{self.hdu}][{row}]" for row in range(hdu.shape[0])]

    def _ids(self, start: int, stop: int) -> list[str] | None:
        """Names in a table of the file that has a row for each slice."""
        from astropy.io import fits

        if not self.hdu:
            return None
        with _told(self.path) as hdus:
            n = _image(hdus, self.hdu, self.path).shape[0]
            for hdu in hdus:
                if not isinstance(hdu, fits.BinTableHDU) or hdu.header["NAXIS2"] != n:
                    continue
                columns = {name.lower(): name for name in hdu.columns.names}
                name = next((columns[one] for one in ID_NAMES if one in columns), None)
                if name is not None:
                    return [_text(value) for value in hdu.data[name][start:stop].tolist()]
        return None


class _told:  # noqa: N801 - reads as a function: `with _told(path) as hdus`
    """The images of a file; what is wrong with it is an error of the input."""

    def __init__(self, path: str) -> None:
        self._path, self._opened = path, open_fits(path)

    def __enter__(self) -> Any:
        try:
            return self._opened.__enter__()
        except (ImageError, OSError) as error:
            raise SourceError(f"{self._path} cannot be read ({error})") from error

    def __exit__(self, *error: Any) -> None:
        # Where only the end is not there, each row says so.
        with suppress(ImageError):
            self._opened.__exit__(*error)


def _image(hdus: Any, wanted: str, path: str) -> Any:
    try:
        return chosen(hdus, wanted)
    except ImageError as error:
        raise SourceError(f"{path}: {error}") from error


def fits_stack(path: Path) -> str:
    """Number of the image of a FITS file whose slices are galaxies without doubt; else empty.

    Four axes of which the first is longer than one; or three of which the first is longer than
    any set of bands, and named by no card.
    """
    try:
        with _told(str(path)) as hdus:
            place = next((i for i, hdu in enumerate(hdus) if holds_image(hdu)), None)
            if place is None:
                return ""
            hdu = hdus[place]
            shape = tuple(hdu.shape)
            named = any(card in hdu.header for card in ("BANDS", "BAND0", "BAND1"))
    except (SourceError, ValueError, TypeError):
        return ""
    deep = len(shape) == 4 and shape[0] > 1 and _is_image(shape[1:])
    many = len(shape) == 3 and shape[0] > VALUES_PER_PIXEL and not named
    return str(place) if deep or many else ""


def _is_image(shape: tuple[int, ...]) -> bool:
    try:
        return as_cube(shape)[0] <= VALUES_PER_PIXEL
    except ImageError:
        return False


def _rows(source: ZarrSource | FitsSource, n: int) -> Iterator[Row]:
    for start in range(0, n, BLOCK_ROWS):
        block = source.table(start, min(n, start + BLOCK_ROWS), Path())
        yield from zip(*(block[name].to_pylist() for name in block.column_names), strict=True)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value).strip()
