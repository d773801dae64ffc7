"""What is to be worked on: what a person named, as partitions, or as rows of id and file.

Tables in Parquet, archives, Zarr stores and FITS stacks are planned partition by partition. All
else (a folder, a pattern, one image, a table) is brought first into one listing, a Parquet file. So
no million-row table and no folder of as many files is ever whole in memory.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from morphoscope.acquire.listing import absolute, hidden, is_image
from morphoscope.catalog import atomic_path
from morphoscope.errors import SourceError
from morphoscope.images import IMAGE_SUFFIXES
from morphoscope.images.naming import split_hdu
from morphoscope.streaming.hats_catalogue import hats_sources, is_hats
from morphoscope.streaming.parquet_source import ParquetSource, folder_sources
from morphoscope.streaming.source import SCHEMA, Row, Source, Stamp, Surveyed
from morphoscope.streaming.stacks import EACH, FitsSource, ZarrSource, fits_stack, is_zarr
from morphoscope.streaming.tables import is_table, named, parquet_files, read_range, table_rows
from morphoscope.streaming.tar_source import TAR_SUFFIXES, TarSource

__all__ = ["Listing", "nothing_in", "sources_of", "write_listing"]

LISTED_ROWS = 4096


@dataclass(frozen=True)
class Listing:
    """The rows to work on, on disk.

    Attributes
    ----------
    path
        Parquet file, one row group a shard.
    rows
        How many there are.
    shard_rows
        Rows of every shard but the last.
    digest
        SHA-256 of the rows and of their division into shards.
    """

    path: Path
    rows: int
    shard_rows: int
    digest: str

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.rows // self.shard_rows)

    def rows_of(self, index: int) -> int:
        """Rows of one shard."""
        return min(self.shard_rows, self.rows - index * self.shard_rows)

    def shard(self, index: int) -> pa.Table:
        """Columns ``id_str`` and ``file_loc`` (absolute, or null) of one shard."""
        return pq.ParquetFile(self.path).read_row_group(index)


def write_listing(
    images: str | Path,
    path: Path,
    *,
    shard_rows: int,
    id_column: str = "",
    file_column: str = "",
) -> Listing:
    """Bring what the person named into a listing.

    Parameters
    ----------
    images
        As for `morphoscope.streaming.stream`.
    path
        Parquet file to write.
    shard_rows
        Rows of a shard.
    id_column, file_column
        Columns of a table; empty: found by their usual names.

    Raises
    ------
    SourceError
        There is no such file or folder, or no image in it.
    CatalogueError
        A table lacks the columns or is damaged.
    """
    sources = sources_of(images, id_column, file_column)
    found = itertools.chain.from_iterable(one.rows() for one in sources)
    rows, digest = _write_rows(found, path, shard_rows)
    if not rows:
        path.unlink()
        raise nothing_in(images)
    return Listing(path, rows, shard_rows, digest)


def _write_rows(found: Iterator[Row], path: Path, shard_rows: int) -> tuple[int, str]:
    """Number and digest of rows, written a row group a shard."""
    digest = hashlib.sha256()
    rows = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        while shard := list(itertools.islice(found, shard_rows)):
            columns = [list(column) for column in zip(*shard, strict=True)]
            digest.update(json.dumps(columns).encode())
            writer.write_table(pa.table(columns, schema=SCHEMA))
            rows += len(shard)
    return rows, digest.hexdigest()


@dataclass(frozen=True)
class ListedSource:
    """Rows that have to be listed one by one: of a folder, a pattern, one image, or a table."""

    path: str
    columns: tuple[str, str] = ("", "")
    name: str = ""

    def survey(self, index: Path) -> Surveyed:
        rows, digest = _write_rows(self.rows(), index, LISTED_ROWS)
        return Surveyed(rows, digest, self.state())

    def state(self) -> Stamp:
        # The listing is our own.
        return 0, 0

    def table(self, start: int, stop: int, index: Path) -> pa.Table:
        return read_range(index, start, stop)

    def rows(self) -> Iterator[Row]:
        return _rows(self.path, *self.columns)


def nothing_in(images: str | Path) -> SourceError:
    """Error where there is not one row to work on."""
    return SourceError(
        f"{images} holds no images",
        expected=f"files that end in {', '.join(sorted(IMAGE_SUFFIXES))}, or table rows",
        do="check the path",
    )


def sources_of(images: str | Path, id_column: str = "", file_column: str = "") -> Sequence[Source]:
    """Partitions of what a person named; a single one where it has to be listed row by row.

    Raises
    ------
    SourceError
        A HATS catalogue or a store is not whole.
    """
    columns = (id_column, file_column)
    return _partitions(images, columns) or [ListedSource(str(images), columns)]


def _partitions(images: str | Path, columns: tuple[str, str]) -> Sequence[Source]:
    text = os.path.expanduser(str(images))  # noqa: PTH111 - `Path` would take one of `//` away
    path = absolute(Path(text))
    if path.is_dir():
        return _in_folder(path, columns)
    if path.is_file():
        return _of_file(path, columns)
    place, _, array = text.rpartition("::")
    if place and not array.endswith("]") and is_zarr(absolute(Path(place))):
        found = absolute(Path(place))
        return [ZarrSource(str(found), found.name, array)]
    hdu = ""
    each = text.endswith(EACH)
    if each:
        text = text.removesuffix(EACH)
        # What is left may choose an image of each file: stack*.fits[SCI].
        if text.endswith("]"):
            text, _, hdu = text.removesuffix("]").rpartition("[")
    found_paths = _paths(text)
    if each:
        return [FitsSource(str(one), one.name, hdu) for one in found_paths]
    return _alike(found_paths, columns)


def _in_folder(folder: Path, columns: tuple[str, str]) -> Sequence[Source]:
    if is_zarr(folder):
        return [ZarrSource(str(folder), folder.name)]
    if is_hats(folder):
        return hats_sources(folder, columns)
    if not any(columns) and next(_walk(folder), None) is not None:
        return []
    tables = folder_sources(folder, columns)
    if tables or any(columns):
        return tables
    inside = (path for path in sorted(folder.rglob("*")) if _is_partition(path))
    return [_partition(path, str(path.relative_to(folder))) for path in inside]


def _is_partition(path: Path) -> bool:
    archive = path.name.lower().endswith(TAR_SUFFIXES) and path.is_file()
    return not hidden(path.name) and (archive or (path.suffix.lower() == ".zarr" and path.is_dir()))


def _partition(path: Path, name: str) -> Source:
    kind = TarSource if path.name.lower().endswith(TAR_SUFFIXES) else ZarrSource
    return kind(str(path), name)


def _of_file(path: Path, columns: tuple[str, str]) -> Sequence[Source]:
    if path.suffix.lower() == ".parquet":
        return [ParquetSource(str(path), "", str(path.parent), columns)]
    if path.name.lower().endswith(TAR_SUFFIXES):
        return [TarSource(str(path), path.name)]
    hdu = "" if not is_image(path.name) else fits_stack(path)
    return [FitsSource(str(path), path.name, hdu)] if hdu else []


def _alike(paths: list[Path], columns: tuple[str, str]) -> Sequence[Source]:
    """Partitions that a pattern matches, if it matches nothing else."""
    if not paths:
        return []
    top = Path(os.path.commonpath([path.parent for path in paths]))
    names = [path.relative_to(top) for path in paths]
    if all(path.suffix.lower() == ".parquet" and path.is_file() for path in paths):
        return [
            ParquetSource(str(path), str(name.with_suffix("")), str(path.parent), columns)
            for path, name in zip(paths, names, strict=True)
        ]
    if all(map(_is_partition, paths)):
        return [_partition(path, str(name)) for path, name in zip(paths, names, strict=True)]
    return []


def _rows(images: str | Path, id_column: str, file_column: str) -> Iterator[Row]:
    text = str(images)
    path = absolute(Path(text).expanduser())
    if path.is_dir():
        if not id_column and not file_column and _holds_images(path):
            return map(named, _walk(path))
        return table_rows(path, id_column, file_column)
    if path.is_file():
        if is_table(path):
            return table_rows(path, id_column, file_column)
        return iter([named(str(path))])
    if "::" in text or split_hdu(text)[1]:
        return iter([named(str(path))])
    if glob.has_magic(text):
        return map(named, (str(path) for path in _paths(text) if path.is_file()))
    raise SourceError(
        f"there is no {images}", expected="a folder, a pattern, an image or a table of images"
    )


def _holds_images(folder: Path) -> bool:
    return next(_walk(folder), None) is not None or not parquet_files(folder)


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[str]:
    """Images below a folder, in the order of their names; hidden ones are left out."""
    real = folder.resolve()
    if real in above:
        # A link back to a folder that this one lies in.
        return
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"the folder {folder} cannot be read ({error.strerror})") from error
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), above | {real})
        elif is_image(entry.name):
            yield entry.path


def _paths(pattern: str) -> list[Path]:
    """Absolute paths of what a pattern matches, in order."""
    found = glob.glob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207 - absolute too
    return sorted({absolute(path) for path in map(Path, found) if path.exists()})
