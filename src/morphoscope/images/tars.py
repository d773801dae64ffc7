"""Files inside tar archives, plain or packed with gzip: read where they lie.

The place of a member is looked up, not searched for anew: a plain archive is read at that place,
and a packed one forwards, in the order of its members. The last of these stay in memory, for a
packed archive cannot be turned back but by beginning again.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

from morphoscope.errors import ArchiveError, ImageError
from morphoscope.images.formats import refuse_large
from morphoscope.images.naming import tar_member

__all__ = ["LINK", "Member", "expect_members", "is_packed", "members_of", "open_binary"]

GZIP = b"\x1f\x8b"
BLOCK = tarfile.BLOCKSIZE
KEPT_BYTES = 64 << 20
# Size of what stands for another member, whose content is not here.
LINK = -1
DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError)


class Member(NamedTuple):
    """A file in an archive: where its bytes are in the unpacked archive, and how many."""

    name: str
    offset: int
    size: int
    text: bytes = b""


def is_packed(path: str | Path) -> bool:
    """Whether an archive is packed, by its first bytes."""
    with Path(path).open("rb") as handle:
        return handle.read(2) == GZIP


def members_of(path: str | Path, *, with_text: str = "", text_bytes: int = 0) -> Iterator[Member]:
    """All files of an archive, in their order; none is held in memory.

    Parameters
    ----------
    path
        The archive.
    with_text
        Members that end in this come with what they hold, read on the way; empty: none does.
    text_bytes
        Longest of those.

    Raises
    ------
    ArchiveError
        After the last member that has a header: the archive is damaged, or its end is not there.
    """
    with Path(path).open("rb") as file:
        packed = is_packed(path)
        handle: Any = gzip.GzipFile(fileobj=file) if packed else file
        try:
            with tarfile.open(fileobj=handle, mode="r:") as tar:
                for info in _headers(tar):
                    name = os.fsencode(info.name).decode("utf-8", "backslashreplace")
                    size = info.size if info.isreg() else LINK
                    told = with_text and name.lower().endswith(with_text)
                    text = _text(tar, info) if told and 0 < size <= text_bytes else b""
                    yield Member(name, info.offset_data, size, text)
                end = tar.offset
            handle.seek(end)
            if handle.read(BLOCK) != bytes(BLOCK):
                raise tarfile.ReadError("there is no mark of its end")
            # The checksum of a packed archive stands behind its last byte.
            while packed and handle.read(1 << 20):
                pass
        except DAMAGE as error:
            raise ArchiveError(
                f"{path} is damaged or ends too early ({error})",
                do="fetch it again; only what stands before that place can be read",
            ) from error


def _headers(tar: Any) -> Iterator[tarfile.TarInfo]:
    while (info := tar.next()) is not None:
        # tarfile would remember all of them.
        tar.members.clear()
        if info.isreg() or info.islnk() or info.issym():
            yield info


def _text(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    handle = tar.extractfile(info)
    return handle.read() if handle else b""


class _Bytes(io.RawIOBase):
    """The bytes of a file that stays open without anyone to close it."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence, os.fstat(self._file).st_size)
        self._place = start + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._file, len(buffer), self._place)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


class Archive:
    """An open archive and the places of its members, as far as they are known."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.places: Mapping[str, tuple[int, int]] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._packed = is_packed(path)
        plain = io.BufferedReader(_Bytes(path))
        self._handle: Any = gzip.GzipFile(fileobj=plain) if self._packed else plain
        self._turn = Lock()

    def read(self, member: str, largest: int) -> bytes:
        """Bytes of a member."""
        offset, size = self._place(member)
        if size == LINK:
            raise ImageError("it is a link inside the archive", reason="missing")
        refuse_large(size, largest, "bytes")
        with self._turn:
            if member in self._kept:
                return self._kept[member]
            data = self._read(offset, size)
            if self._packed:
                self._keep(member, data)
        return data

    def _read(self, offset: int, size: int) -> bytes:
        try:
            self._handle.seek(offset)
            data = bytes(self._handle.read(size))
        except DAMAGE as error:
            raise ImageError(f"the archive is damaged ({error})", reason="truncated") from error
        if len(data) < size:
            raise ImageError("the archive ends in the middle of it", reason="truncated")
        return data

    def _place(self, member: str) -> tuple[int, int]:
        if member not in self.places:
            self.places = {**self.places, **self._all()}
        if member not in self.places:
            raise ImageError(f"{self.path} has no member {member!r}", reason="missing")
        return self.places[member]

    def _all(self) -> dict[str, tuple[int, int]]:
        found = {}
        try:
            for one in members_of(self.path):
                found[one.name] = (one.offset, one.size)
        except ArchiveError:
            # What stands before the damage can be read.
            if not found:
                raise
        return found

    def _keep(self, member: str, data: bytes) -> None:
        self._kept[member] = data
        while sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)


@lru_cache(maxsize=4)
def _opened(path: str, size: int, changed_ns: int, process: int) -> Archive:
    """Open archive, kept: a handle does not survive a fork, nor its file being written anew."""
    return Archive(path)


def _archive(path: str) -> Archive:
    found = Path(path).stat()
    return _opened(path, found.st_size, found.st_mtime_ns, os.getpid())


def expect_members(path: str, places: Mapping[str, tuple[int, int]]) -> None:
    """Tell where members lie (offset, size), so that the archive is not searched for them."""
    _archive(path).places = places


@contextmanager
def open_binary(path: str, *, largest_bytes: int = 1 << 31) -> Iterator[IO[bytes]]:
    """Open a file, or a member of an archive, for reading."""
    found = tar_member(path)
    if found is None or Path(path).exists():
        with Path(path).open("rb") as handle:
            yield handle
        return
    try:
        data = _archive(found[0]).read(found[1], largest_bytes)
    except ArchiveError as error:
        raise ImageError(error.found, reason="truncated", do=error.do) from error
    yield io.BytesIO(data)
