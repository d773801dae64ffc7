"""Prepare into the memory of several machines: each keeps what it makes, one gathers it first."""

from __future__ import annotations

import hashlib
import math
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from morphoscope.engine import areas, peers
from morphoscope.engine.work import exclusive
from morphoscope.errors import StoreError
from morphoscope.prepare.in_memory import BUSY, read_piece
from morphoscope.prepare.shards import (
    Shard,
    ShardResult,
    shard_digest,
    write_shard,
    write_shard_carefully,
)
from morphoscope.prepare.space import close_gaps, require_room
from morphoscope.prepare.store import npy_header
from morphoscope.provenance import file_digest

__all__ = ["Gathering", "Kept", "gather_whole", "keep_shard", "keep_shard_carefully"]

# All images of the catalogue, rejected ones too, in the memory of one machine: some are holes.
PARTS = "parts.npy"


@dataclass(frozen=True)
class Kept:
    """A shard in the memory of one machine.

    ``memory`` is its name, by `morphoscope.engine.areas.this_memory`.
    """

    result: ShardResult
    memory: str


@dataclass(frozen=True)
class Gathering:
    """What is to be gathered: shards, what became of each, and the rows that are kept."""

    path: Path
    shards: Sequence[Shard]
    kept_shards: Sequence[Kept]
    rows: Sequence[int]


def keep_shard(shard: Shard) -> Kept:
    """Prepare a shard, ``path`` being that of the whole in memory, and keep it here."""
    own = _place(shard)
    return Kept(write_shard(own), areas.this_memory(own.path.parent))


def keep_shard_carefully(shard: Shard) -> Kept:
    """Do the same where an image ends the process that reads it."""
    own = _place(shard)
    return Kept(write_shard_carefully(own), areas.this_memory(own.path.parent))


def _place(shard: Shard) -> Shard:
    """The shard with its place in this machine's memory, which is there then."""
    areas.claim(shard.path.parent)
    parts = shard.path.with_name(PARTS)
    end = len(npy_header(shard.shape, shard.dtype)) + shard.shape[0] * shard.row_bytes
    with exclusive(shard.path.parent / BUSY, math.inf), parts.open("ab") as handle:
        # Memory is only taken for what is written; but one machine is to hold it all.
        if handle.tell() != end:
            require_room(parts, end)
            handle.truncate(end)
    return replace(shard, path=parts)


def gather_whole(gathering: Gathering) -> str:
    """Bring all shards into the memory of this machine as one array; its SHA-256.

    A shard that is nowhere any more, or is not as it was when it was made, is made again.
    """
    path, shards = gathering.path, gathering.shards
    parts = _place(shards[0]).path
    # By a name of its own: a worker that was given up and wakes again writes to the former one.
    whole = path.with_name(f"whole-{uuid.uuid4().hex}.npy")
    with exclusive(path.parent / BUSY, math.inf):
        os.replace(parts, whole)
    own = areas.this_memory(path.parent)
    memories = _memories(path.parent)
    for shard, kept in zip(shards, gathering.kept_shards, strict=True):
        here = replace(shard, path=whole)
        if kept.memory == own and shard_digest(here) == kept.result.sha256:
            continue
        if not _is_taken(here, parts, kept, memories.get(kept.memory, "")):
            _make_again(here, kept)
    shape, dtype = shards[0].shape, shards[0].dtype
    close_gaps(whole, shape, gathering.rows, dtype)
    with whole.open("r+b") as handle:
        handle.write(npy_header((len(gathering.rows), *shape[1:]), dtype))
    digest = file_digest(whole)
    os.replace(whole, path)
    for memory, address in memories.items():
        if memory != own:
            with suppress(OSError):
                peers.ask(address, _let_go, parts)
    return digest


def _memories(area: Path) -> dict[str, str]:
    """A worker for each other memory that has the area."""
    found: dict[str, str] = {}
    for address in peers.others():
        try:
            found.setdefault(peers.ask(address, _memory, area), address)
        except OSError:
            continue
    return found


def _memory(area: Path) -> str:
    return areas.this_memory(area) if area.is_dir() else ""


def _let_go(path: Path) -> None:
    """Free what this machine made and another one has gathered."""
    path.unlink(missing_ok=True)


def _is_taken(shard: Shard, parts: Path, kept: Kept, address: str) -> bool:
    """Whether a shard came from another machine as it was made there."""
    if not address:
        return False
    try:
        data = peers.ask(address, read_piece, parts, shard.offset, shard.n_bytes)
    except OSError:
        return False
    if hashlib.sha256(data).hexdigest() != kept.result.sha256:
        return False
    with shard.path.open("r+b") as handle:
        handle.seek(shard.offset)
        handle.write(data)
    return True


def _make_again(shard: Shard, kept: Kept) -> None:
    crashes = any(reason == "crash" for reason, _ in kept.result.rejects.values())
    again = write_shard_carefully(shard) if crashes else write_shard(shard)
    if again.sha256 != kept.result.sha256:
        raise StoreError(
            f"images from row {shard.start} on, made again, are others than a moment ago",
            do="see that nobody changes the image files, then run `morphoscope prepare` again",
        )
