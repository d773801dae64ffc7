"""Tar archives and WebDataset shards as partitions.

A row is a member with an image's suffix; hidden ones are no one's data. Members that follow each
other under one key (their name up to the first dot) are one sample of a WebDataset: what stands
beside the image is not read, but for ``id_str`` of a small ``.json``, which is its name.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from morphoscope.acquire.listing import as_text, hidden, is_image, stem
from morphoscope.catalog import atomic_path
from morphoscope.errors import ArchiveError
from morphoscope.images.tars import Member, expect_members, is_packed, members_of
from morphoscope.streaming.source import Row, Stamp, Surveyed, digest_of, stamp_of, table_of
from morphoscope.streaming.tables import read_range

__all__ = ["TAR_SUFFIXES", "TarSource"]

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
BLOCK_ROWS = 16_384
SIDECAR_BYTES = 1 << 20
INDEX = pa.schema(
    [
        ("id_str", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
    ]
)
Place = tuple[str | None, str, int, int]


@dataclass(frozen=True)
class TarSource:
    """One archive; its members are found once, and noted with their places in ``index``."""

    path: str
    name: str

    def survey(self, index: Path) -> Surveyed:
        stamp = self.state()
        places = self._places()
        count, digest, note = 0, digest_of(self.name, stamp), ""
        with atomic_path(index) as temporary, pq.ParquetWriter(temporary, INDEX) as writer:
            while True:
                block, note = _taken(places)
                if block:
                    columns = [list(column) for column in zip(*block, strict=True)]
                    writer.write_table(pa.table(columns, schema=INDEX))
                    count += len(block)
                    digest = digest_of(digest, block)
                if note and not count:
                    # A row says what became of an archive that nothing can be read of.
                    writer.write_table(_lost(self.path))
                    count = 1
                if len(block) < BLOCK_ROWS:
                    break
        packed = stamp[0] > 0 and is_packed(self.path)
        return Surveyed(count, digest, stamp, grain=0 if packed else 1, note=note)

    def state(self) -> Stamp:
        return stamp_of(self.path)

    def table(self, start: int, stop: int, index: Path) -> pa.Table:
        found = read_range(index, start, stop).to_pydict()
        members = found["member"]
        places = zip(members, zip(found["offset"], found["size"], strict=True), strict=True)
        expect_members(self.path, dict(places))
        files = [self._address(member) for member in members]
        return table_of(zip(found["id_str"], files, strict=True))

    def rows(self) -> Iterator[Row]:
        found = 0
        try:
            for name, member, _, _ in self._places():
                found += 1
                yield name, self._address(member)
        except ArchiveError:
            # Its members say so themselves where they cannot be read.
            if not found:
                yield stem(self.path), as_text(self.path)

    def _address(self, member: str) -> str:
        return as_text(f"{self.path}::{member}" if member else self.path)

    def _places(self) -> Iterator[Place]:
        """Images and where they lie; raises what is wrong with the archive after the last one."""
        trouble: list[ArchiveError] = []
        members = _until(self.path, trouble)
        for _, sample in itertools.groupby(members, key=lambda one: _key(one.name)):
            yield from self._sample(list(sample))
        if trouble:
            raise trouble[0]

    @staticmethod
    def _sample(members: list[Member]) -> Iterator[Place]:
        images = [one for one in members if is_image(one.name) and not hidden(one.name)]
        beside = [one for one in members if not is_image(one.name)]
        told = _told(beside)
        for one in images:
            name = _key(one.name).rpartition("/")[2] if beside else stem(one.name)
            yield told or name or None, one.name, one.offset, one.size


def _told(beside: list[Member]) -> str | None:
    """``id_str`` that a sidecar states."""
    for one in beside:
        try:
            values = json.loads(one.text or "null")
        except ValueError:
            continue
        if isinstance(values, dict) and values.get("id_str") is not None:
            return str(values["id_str"])
    return None


def _until(path: str, trouble: list[ArchiveError]) -> Iterator[Member]:
    """Members, up to the place where something is wrong."""
    try:
        yield from members_of(path, with_text=".json", text_bytes=SIDECAR_BYTES)
    except ArchiveError as error:
        trouble.append(error)


def _key(name: str) -> str:
    """Key of a member: its name up to the first dot behind its folder."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.partition(".")[0] or path.name)) if path.name else name


def _lost(path: str) -> pa.Table:
    return pa.table([[stem(path)], [""], [0], [0]], schema=INDEX)


def _taken(places: Iterator[Place]) -> tuple[list[Place], str]:
    """Take the next rows, and what is wrong with the archive where they end."""
    block: list[Place] = []
    try:
        block.extend(itertools.islice(places, BLOCK_ROWS))
    except ArchiveError as error:
        return block, str(error)
    return block, ""
