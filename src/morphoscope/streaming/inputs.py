"""What is to be worked on: a folder, a pattern, one image or a table, as rows of id and file.

Whatever the source, it is brought first into one listing, a Parquet file with a row group a shard.
So its length and digest are known before the work begins, and neither a million-row table nor a
folder of as many files is ever whole in memory.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from morphoscope.acquire.listing import absolute, is_image
from morphoscope.catalog import atomic_path
from morphoscope.errors import SourceError
from morphoscope.images import IMAGE_SUFFIXES
from morphoscope.streaming.tables import Row, is_table, named, table_rows

__all__ = ["Listing", "write_listing"]

SCHEMA = pa.schema([("id_str", pa.string()), ("file_loc", pa.string())])


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

    def names(self, file: Path) -> bool:
        """Whether a file is among those to work on."""
        columns = (self.shard(index)["file_loc"] for index in range(self.shards))
        return any(pa.compute.any(pa.compute.equal(c, str(file))).as_py() for c in columns)


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
        Folder of images or of Parquet files, glob pattern, image, or table.
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
    digest = hashlib.sha256()
    rows = 0
    source = _rows(images, id_column, file_column)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        while shard := list(itertools.islice(source, shard_rows)):
            columns = [list(column) for column in zip(*shard, strict=True)]
            digest.update(json.dumps(columns).encode())
            writer.write_table(pa.table(columns, schema=SCHEMA))
            rows += len(shard)
        if not rows:
            raise SourceError(
                f"{images} holds no images",
                expected=f"files that end in {', '.join(sorted(IMAGE_SUFFIXES))}, or table rows",
                do="check the path",
            )
    return Listing(path, rows, shard_rows, digest.hexdigest())


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
    if "::" in text:
        return iter([named(str(path))])
    if glob.has_magic(text):
        return map(named, _matching(text))
    raise SourceError(
        f"there is no {images}", expected="a folder, a pattern, an image or a table of images"
    )


def _holds_images(folder: Path) -> bool:
    return next(_walk(folder), None) is not None or not any(folder.rglob("*.parquet"))


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


def _matching(pattern: str) -> list[str]:
    found = glob.glob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207 - absolute too
    return sorted(str(absolute(path)) for path in map(Path, found) if path.is_file())
