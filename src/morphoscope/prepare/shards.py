"""Shards: runs of rows that one worker writes, and the journal of those that are done."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.engine.crash import Crashed, surviving
from morphoscope.errors import ImageError
from morphoscope.images import image_size
from morphoscope.prepare.pixels import pixel_type, prepare_file
from morphoscope.prepare.space import disk_full
from morphoscope.prepare.store import npy_header, row_bytes
from morphoscope.recipe import PrepareSettings

__all__ = [
    "Journal",
    "Shard",
    "ShardResult",
    "plan",
    "shard_digest",
    "size_name",
    "write_shard",
    "write_shard_carefully",
]

SHARD_ROWS = 256
SHARD_BYTES = 32_000_000
# Few images still make enough shards to keep several workers busy; the plan depends on nothing
# else, so that a run may go on with another number of workers.
LEAST_SHARDS = 16


@dataclass(frozen=True)
class Shard:
    """Rows ``start`` to ``start + len(file_locs)`` of the store."""

    path: Path
    shape: tuple[int, ...]
    start: int
    file_locs: tuple[str, ...]
    settings: PrepareSettings
    look_at_sizes: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return pixel_type(self.settings)

    @property
    def row_bytes(self) -> int:
        """Number of bytes of one image."""
        return row_bytes(self.shape, self.dtype)

    @property
    def offset(self) -> int:
        """First byte in the file."""
        return len(npy_header(self.shape, self.dtype)) + self.start * self.row_bytes

    @property
    def n_bytes(self) -> int:
        """Number of bytes in the file."""
        return len(self.file_locs) * self.row_bytes


@dataclass(frozen=True)
class ShardResult:
    """What became of a shard; ``rejects`` maps row to reason and detail."""

    start: int
    n: int
    sha256: str
    rejects: dict[int, tuple[str, str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def plan(
    path: Path,
    shape: tuple[int, ...],
    file_locs: Sequence[str],
    settings: PrepareSettings,
    *,
    look_at_sizes: bool,
) -> list[Shard]:
    """Cut the rows into shards."""
    rows = min(
        SHARD_ROWS,
        math.ceil(len(file_locs) / LEAST_SHARDS),
        max(1, SHARD_BYTES // row_bytes(shape, pixel_type(settings))),
    )
    return [
        Shard(path, shape, start, tuple(file_locs[start : start + rows]), settings, look_at_sizes)
        for start in range(0, len(file_locs), rows)
    ]


def size_name(ny: int, nx: int) -> str:
    """Size as the summary names it."""
    return f"{ny}×{nx}"


def write_shard(shard: Shard) -> ShardResult:
    """Prepare the images of a shard and write them to their place; unreadable ones stay black."""
    one = functools.partial(_prepared, settings=shard.settings, sizes=shard.look_at_sizes)
    return _written(shard, map(one, shard.file_locs))


def write_shard_carefully(shard: Shard) -> ShardResult:
    """Do the same where an image ends the process that reads it: that one is rejected."""
    one = functools.partial(_prepared, settings=shard.settings, sizes=shard.look_at_sizes)
    found = surviving(one, shard.file_locs)
    crash = ("crash", "the process that reads it ends")
    return _written(shard, (crash if isinstance(each, Crashed) else each for each in found))


def _prepared(
    file_loc: str, settings: PrepareSettings, *, sizes: bool
) -> tuple[NDArray[Any], str] | tuple[str, str]:
    """Pixels and, if asked for, size of an image; or the reason why not, and its details."""
    try:
        pixels = prepare_file(file_loc, settings)
        return pixels, size_name(*image_size(file_loc)) if sizes else ""
    except ImageError as error:
        return error.reason, str(error)


def _written(shard: Shard, found: Iterable[tuple[Any, str]]) -> ShardResult:
    images = np.zeros((len(shard.file_locs), *shard.shape[1:]), shard.dtype)
    rejects: dict[int, tuple[str, str]] = {}
    sizes: Counter[str] = Counter()
    for row, (first, second) in enumerate(found):
        if isinstance(first, str):
            rejects[shard.start + row] = (first, second)
            continue
        images[row] = first
        if second:
            sizes[second] += 1
    data = images.tobytes()
    _write(shard, data)
    digest = hashlib.sha256(data).hexdigest()
    return ShardResult(shard.start, len(shard.file_locs), digest, rejects, dict(sizes))


def _write(shard: Shard, data: bytes) -> None:
    """Write at the shard's place; a full disk is an error here, where a memory map would crash."""
    try:
        with shard.path.open("r+b") as handle:
            handle.seek(shard.offset)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        full = disk_full(shard.path, error)
        if full is None:
            raise
        raise full from error


class Journal:
    """One line a finished shard, written after its bytes are on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, result: ShardResult) -> None:
        """Add a finished shard."""
        with self.path.open("a") as handle:
            handle.write(json.dumps(asdict(result)) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def finished(self, shards: Iterable[Shard]) -> list[ShardResult]:
        """Shards that are noted, and whose bytes are still those that were noted."""
        noted = {result.start: result for result in self._read()}
        found = []
        for shard in shards:
            result = noted.get(shard.start)
            if result and result.n == len(shard.file_locs) and result.sha256 == shard_digest(shard):
                found.append(result)
        return found

    def _read(self) -> Iterable[ShardResult]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                values = json.loads(line)
                rejects = {int(row): (why, what) for row, (why, what) in values["rejects"].items()}
                yield ShardResult(**{**values, "rejects": rejects})
            except (ValueError, KeyError, TypeError):
                # The last line of a killed run may be cut short: that shard is made again.
                continue


def shard_digest(shard: Shard) -> str:
    """SHA-256 of the bytes that lie at a shard's place now."""
    with shard.path.open("rb") as handle:
        handle.seek(shard.offset)
        return hashlib.sha256(handle.read(shard.n_bytes)).hexdigest()
