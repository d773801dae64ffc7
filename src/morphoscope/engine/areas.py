"""Areas: folders in the memory of a machine that all its processes see, gone when none needs them.

An area lies below a folder of a file system that is memory (``/dev/shm``), in a folder that is this
user's alone. Every process that needs it holds a shared lock, which the system takes back when the
process ends, however it ends. The last one to leave clears the area; what killed processes left is
cleared by the next process of the same user that claims an area.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import threading
import uuid
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path

from morphoscope.errors import EngineError

__all__ = ["claim", "place_of", "release", "this_memory"]

# File systems that are memory, by their names in /proc/mounts.
IN_MEMORY = frozenset({"tmpfs", "ramfs", "hugetlbfs"})
NAME_LENGTH = 20
IDENTITY = ".identity"

_held: dict[Path, int] = {}
_lock = threading.RLock()


def place_of(name: str, memory: Path) -> Path:
    """Where the area of a name lies, the same on every machine.

    Parameters
    ----------
    name
        Any text; who says another one has another area.
    memory
        Folder of a file system in memory.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return memory / f"morphoscope-{os.getuid()}" / digest[:NAME_LENGTH]


def claim(area: Path) -> None:
    """Make an area if it is absent, and hold it until `release` or the end of this process.

    Raises
    ------
    EngineError
        Its folder is not in memory, or belongs to somebody else.
    """
    with _lock:
        if area in _held:
            area.mkdir(exist_ok=True)
            return
        _make_own(area.parent)
        _held[area] = _take(_lock_file(area), fcntl.LOCK_SH)
        area.mkdir(exist_ok=True)
        Finalize(None, release, args=(area,), exitpriority=0)
        _clear_left(area.parent)


def release(area: Path) -> None:
    """Need an area no more; the last one that does clears it."""
    with _lock:
        held = _held.pop(area, None)
        if held is not None:
            os.close(held)
            _clear_if_left(area)


def this_memory(area: Path) -> str:
    """Name of the memory that a claimed area lies in: processes that share it find the same."""
    identity = area.with_name(IDENTITY)
    if not identity.exists():
        own = area.with_name(f"{IDENTITY}.{uuid.uuid4().hex}")
        own.write_text(uuid.uuid4().hex)
        with suppress(FileExistsError):
            # Whole or not at all, and by one process alone.
            os.link(own, identity)
        own.unlink()
    return identity.read_text()


def _make_own(folder: Path) -> None:
    """Make this user's folder; where anybody may write, somebody else may have been there first."""
    memory = folder.parent
    if not memory.is_dir():
        raise EngineError(
            f"there is no folder {memory}",
            expected="a folder in memory, as /dev/shm (engine.memory_folder)",
            do="name another one, or set engine.hand_over to files",
        )
    found = _file_system(memory)
    if found not in IN_MEMORY:
        raise EngineError(
            f"{memory} lies on {found or 'an unknown file system'}",
            expected="a folder in memory, as /dev/shm (engine.memory_folder)",
            do="name another one, or set engine.hand_over to files",
        )
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise EngineError(
            f"{folder} is there, and others may write in it",
            expected="a folder of your own with the mode 700",
            do="have it removed, or name another engine.memory_folder",
        )


def _file_system(folder: Path) -> str:
    """Kind of file system that a folder lies on, as the system names it."""
    best, kind = -1, ""
    real = os.path.realpath(folder)
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        _, at, name, *_ = line.split(" ")
        # A space in a path is written as \040 there.
        place = at.replace("\\040", " ")
        if os.path.commonpath([real, place]) == place and len(place) >= best:
            best, kind = len(place), name
    return kind


def _lock_file(area: Path) -> Path:
    return area.with_name(f"{area.name}.lock")


def _take(lock: Path, how: int) -> int:
    """Lock a file that others may remove meanwhile; its descriptor.

    Raises
    ------
    BlockingIOError
        With ``LOCK_NB``: somebody else has it.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _clear_left(folder: Path) -> None:
    """Clear what processes left that were killed."""
    for lock in folder.glob("*.lock"):
        area = lock.with_suffix("")
        if area not in _held:
            _clear_if_left(area)


def _clear_if_left(area: Path) -> None:
    lock = _lock_file(area)
    try:
        descriptor = _take(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    try:
        shutil.rmtree(area, ignore_errors=True)
        lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
