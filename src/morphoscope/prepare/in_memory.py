"""A store whose images lie in memory and not on a disk: one copy for all processes of a machine.

``images.npy`` is then a link into an area of that memory (`morphoscope.engine.areas`), by the same
name on every machine; all else of the store is a file as ever. Who opens the store finds the images
here, or takes them from another worker of the cluster, or makes them again from the image files.
Whichever it is, their SHA-256 must be that of ``store.json``.
"""

from __future__ import annotations

import contextvars
import hashlib
import math
import os
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from morphoscope.catalog import atomic_path, read_catalogue
from morphoscope.engine import areas, peers
from morphoscope.engine.work import exclusive
from morphoscope.errors import StoreError
from morphoscope.prepare.shards import Shard, ShardResult, plan, write_shard
from morphoscope.prepare.space import allocate
from morphoscope.prepare.store import CATALOGUE, IMAGES, npy_header, read_description, row_bytes
from morphoscope.progress import say
from morphoscope.provenance import digest_of_name, known_digest
from morphoscope.recipe import PrepareSettings

__all__ = [
    "bring",
    "changed",
    "declared",
    "give_back",
    "gone",
    "is_in_memory",
    "is_somewhere",
    "is_there",
    "link",
    "read_piece",
    "require_kept",
    "shards_again",
    "unlink",
]

PIECE_BYTES = 32_000_000
# So often all workers are asked for the images before they are made again.
ROUNDS = 2
AREAS = re.compile(r"morphoscope-\d+")
BUSY, PART = ".lock", "part.npy"


def link(folder: Path, memory: Path, *, resumed: bool) -> Path:
    """Have the images of a store lie in memory; where.

    Parameters
    ----------
    folder
        Of the store.
    memory
        Folder in memory, as ``/dev/shm``.
    resumed
        Whether to go on where they are, if they are there. Else they get a new place: who reads
        the former ones, or has a copy of the folder, is not disturbed.
    """
    path = folder / IMAGES
    if resumed and is_in_memory(path) and path.readlink().is_relative_to(memory):
        return path.readlink()
    give_back(folder)
    place = areas.place_of(uuid.uuid4().hex, memory) / IMAGES
    with atomic_path(path) as temporary:
        temporary.symlink_to(place)
    return place


def unlink(folder: Path) -> None:
    """Have the images of a store lie on the disk from now on."""
    if is_in_memory(folder / IMAGES):
        give_back(folder)
        (folder / IMAGES).unlink()


def is_in_memory(path: Path) -> bool:
    """Whether images, as ``images.npy`` of a store, are a link into an area."""
    if not path.is_symlink():
        return False
    # Also where it is somebody else's: then `areas.claim` says so.
    return AREAS.fullmatch(Path(os.path.realpath(path)).parent.parent.name) is not None


def declared(path: Path) -> str | None:
    """Digest of images that lie in the memory of other machines, as the store declares it.

    None for any file that is here. What is declared is proved when the store is opened.
    """
    if path.name != IMAGES or path.exists() or not is_in_memory(path):
        return None
    described = read_description(path.parent) or {}
    return digest_of_name(path.name, described["sha256"]) if "sha256" in described else None


def give_back(folder: Path) -> None:
    """Need the images of a store no more, nor do this process's workers on other machines.

    The last process of each machine frees their memory.
    """
    if not is_in_memory(folder / IMAGES):
        return
    area = Path(os.path.realpath(folder / IMAGES)).parent
    areas.release(area)
    for address in peers.others():
        with suppress(OSError):
            peers.ask(address, areas.release, area)


def bring(folder: Path, described: dict[str, Any]) -> None:
    """See to it that images in memory are here, and are those that were prepared.

    Raises
    ------
    StoreError
        They are gone, and cannot be made again as they were.
    EngineError
        The memory cannot be used.
    """
    path = Path(os.path.realpath(folder / IMAGES))
    areas.claim(path.parent)
    with exclusive(path.parent / BUSY, math.inf):
        if path.exists() and known_digest(path) == described["sha256"]:
            return
        part = path.with_name(PART)
        if not _is_taken(path, part, described):
            _make_again(folder, part, described)
            if known_digest(part) != described["sha256"]:
                part.unlink()
                raise changed(folder, described)
        part.replace(path)


def gone(folder: Path) -> str:
    """What is said before images are made again."""
    return f"{folder}: its images are in no memory any more, and are made again"


def changed(folder: Path, described: dict[str, Any]) -> StoreError:
    """Error to raise where images that were made again are others than were prepared."""
    return StoreError(
        f"the images of {folder}, made again, are others than were prepared",
        expected=f"the SHA-256 {described['sha256']}",
        do="run `morphoscope prepare` again; image files may have changed",
    )


def require_kept(folder: Path, result: ShardResult) -> None:
    """Raise where an image that was prepared can be read no more."""
    if result.rejects:
        reason, detail = next(iter(result.rejects.values()))
        raise StoreError(
            f"the images of {folder} were in memory, and cannot be made again ({reason}: {detail})",
            do="bring the image file back, or run `morphoscope prepare` again",
        )


def is_there(path: Path, described: dict[str, Any]) -> bool:
    """Whether images lie in the memory of this machine, by their name and size."""
    return _size(path) == _n_bytes(described)


def is_somewhere(wanted: tuple[Path, dict[str, Any]]) -> bool:
    """Whether images lie in the memory of this worker's machine or of another worker's."""
    path, described = wanted
    if is_there(path, described):
        return True
    for address in [one for _ in range(ROUNDS) for one in peers.others()]:
        with suppress(OSError):
            if peers.ask(address, _size, path) == _n_bytes(described):
                return True
    return False


def _is_taken(path: Path, part: Path, described: dict[str, Any]) -> bool:
    """Whether a worker has the images whole, and they came from there as they were prepared."""
    n_bytes = _n_bytes(described)
    # Those that came meanwhile may have them, and who was too busy to answer is asked again.
    for address in [one for _ in range(ROUNDS) for one in peers.others()]:
        try:
            if peers.ask(address, _size, path) != n_bytes:
                continue
            digest = hashlib.sha256()
            with part.open("wb") as handle:
                for piece in _pieces(address, path, n_bytes):
                    handle.write(piece)
                    digest.update(piece)
        except OSError:
            # It left meanwhile; another one may have them.
            continue
        if digest.hexdigest() == described["sha256"]:
            return True
    return False


def _pieces(address: str, path: Path, n_bytes: int) -> Iterator[bytes]:
    """A file of another worker; its next piece is on its way while one is at work."""
    # Which worker this is, a new thread would not know.
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:

        def ask(start: int) -> Future[Any]:
            return pool.submit(
                context.run, peers.ask, address, read_piece, path, start, PIECE_BYTES
            )

        ahead = ask(0)
        for start in range(PIECE_BYTES, n_bytes + PIECE_BYTES, PIECE_BYTES):
            piece = ahead.result()
            if start < n_bytes:
                ahead = ask(start)
            yield piece


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def read_piece(path: Path, start: int, length: int) -> bytes:
    """Some bytes of a file; none where it is not here."""
    try:
        with path.open("rb") as handle:
            handle.seek(start)
            return handle.read(length)
    except OSError:
        return b""


def _make_again(folder: Path, part: Path, described: dict[str, Any]) -> None:
    """Prepare the images again, here and alone."""
    say(gone(folder))
    part.unlink(missing_ok=True)
    shards = shards_again(folder, part, described)
    allocate(part, shards[0].shape, shards[0].dtype)
    for shard in shards:
        require_kept(folder, write_shard(shard))


def shards_again(folder: Path, path: Path, described: dict[str, Any]) -> list[Shard]:
    """Shards of the images of a finished store, to be written to a path."""
    settings = PrepareSettings.model_validate(described["preparation"])
    file_locs = read_catalogue(folder / CATALOGUE).frame["file_loc"].to_list()
    return plan(path, _shape(described), file_locs, settings, look_at_sizes=False)


def _n_bytes(described: dict[str, Any]) -> int:
    shape, dtype = _shape(described), np.dtype(described["dtype"])
    return len(npy_header(shape, dtype)) + shape[0] * row_bytes(shape, dtype)


def _shape(described: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(length) for length in described["shape"])
