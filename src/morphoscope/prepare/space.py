"""Room on the disk for the array of a store: taken before the first image, given back after."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from morphoscope.errors import DiskSpaceError
from morphoscope.prepare.store import npy_header, row_bytes

__all__ = ["allocate", "close_gaps", "disk_full", "require_room"]

# For the catalogue, the rejects and the journal, which are small beside the images.
SLACK_BYTES = 16_000_000
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MOVED_AT_ONCE_BYTES = 64_000_000


def allocate(path: Path, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> None:
    """Make an ``.npy`` file whose blocks are on the disk, keeping what it holds.

    A memory map on blocks that are not there would end the process (SIGBUS) on a full disk.

    Raises
    ------
    DiskSpaceError
        There is no room for it.
    """
    header = npy_header(shape, dtype)
    size = len(header) + shape[0] * row_bytes(shape, dtype)
    # Where it is a link, what counts is where it leads.
    path = Path(os.path.realpath(path))
    needed, free = require_room(path, size)
    try:
        with path.open("r+b" if path.exists() else "w+b") as handle:
            handle.truncate(size)
            _reserve(handle.fileno(), size)
            handle.write(header)
            os.fsync(handle.fileno())
    except OSError as error:
        if error.errno in FULL:
            raise _no_room(path, needed, free) from error
        raise


def require_room(path: Path, size: int) -> tuple[int, int]:
    """Bytes that a file of this size and what lies beside it need, and those that are free.

    Raises
    ------
    DiskSpaceError
        There are fewer.
    """
    held = path.stat().st_blocks * 512 if path.exists() else 0
    needed, free = size + SLACK_BYTES, shutil.disk_usage(path.parent).free + held
    if needed > free:
        raise _no_room(path, needed, free)
    return needed, free


def _reserve(descriptor: int, size: int) -> None:
    """Reserve blocks where the system and the file system can."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
            raise


def _no_room(path: Path, needed: int, free: int) -> DiskSpaceError:
    return DiskSpaceError(
        f"{path} and the tables beside it need {needed:,} bytes and {free:,} are free",
        do="free some space, or choose a smaller prepare.size; then run again",
        needed=needed,
        free=free,
    )


def disk_full(path: Path, error: OSError) -> DiskSpaceError | None:
    """Error to raise when a write failed for want of room."""
    if error.errno not in FULL:
        return None
    return DiskSpaceError(
        f"the disk is full while writing {path}", do="free some space and run again"
    )


def close_gaps(
    path: Path, shape: tuple[int, ...], kept: Sequence[int], dtype: DTypeLike = np.uint8
) -> tuple[int, ...]:
    """Move the kept rows (ascending) together, cut the rest off, and give the new shape.

    Killed half-way, it leaves rows whose digests no longer hold, so that they are made again.
    """
    shape_kept = (len(kept), *shape[1:])
    header = npy_header(shape, dtype)
    if len(kept) == shape[0]:
        return shape_kept
    width = row_bytes(shape, dtype)
    images = np.memmap(path, np.uint8, "r+", len(header), (shape[0], width))
    step = max(1, MOVED_AT_ONCE_BYTES // width)
    for start in range(0, len(kept), step):
        rows = np.asarray(kept[start : start + step])
        images[start : start + len(rows)] = images[rows]
    images.flush()
    del images
    shorter = npy_header(shape_kept, dtype)
    with path.open("r+b") as handle:
        handle.write(shorter)
        handle.truncate(len(shorter) + len(kept) * width)
        os.fsync(handle.fileno())
    return shape_kept
