"""Unpack zip and tar archives: only into the folder, only whole files, again where it stopped.

A zip inside a zip is read where it lies: neither held in memory nor copied to the disk.
"""

from __future__ import annotations

import errno
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from morphoscope.acquire.disk import require_room
from morphoscope.acquire.listing import hidden
from morphoscope.errors import ArchiveError, DiskSpaceError, SourceError
from morphoscope.progress import progress, say

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["as_named", "is_archive", "open_zip", "unpack"]

CHUNK = 1 << 20
BLOCK = 4096
# Room for the directory of some 150,000 members, which stands at the end of a zip.
KEPT_TAIL = 16 << 20
WORTH_A_WORD = 256 << 20
ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    crc: int | None
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether the name of ``path`` is that of a zip or tar archive."""
    return ARCHIVE.search(path.name) is not None and path.is_file()


def as_named(name: str) -> str | None:
    """Place every member under its own name, but for what an operating system left behind."""
    return None if hidden(name) else name


def unpack(
    archive: Path,
    folder: Path,
    *,
    inner: str = "",
    place: Callable[[str], str | None] = as_named,
) -> list[Path]:
    """Unpack members of an archive; those already whole in ``folder`` are not written again.

    Parameters
    ----------
    archive
        A ``.zip``, or a ``.tar`` packed or not.
    folder
        Where the files go.
    inner
        Name of a zip inside the zip ``archive``, which is unpacked instead of it.
    place
        Takes a member's name and returns its path below ``folder``, or None to leave it.

    Returns
    -------
    list of Path
        The files of the members that were placed, in the order of the archive.

    Raises
    ------
    ArchiveError
        The archive is damaged or encrypted, or a member is a link, a device or would leave
        ``folder``; it names the member.
    DiskSpaceError
        There is too little room; looked at before anything is written.
    """
    with _open_members(archive, inner) as members:
        placed = _placed(members, folder, place)
        pending = [(path, member) for path, member in placed if not _is_whole(path, member)]
        room = sum(-(-member.size // BLOCK) * BLOCK for _, member in pending)
        require_room(folder, room, f"unpacking {inner or archive.name}")
        with progress("unpacking", len(placed), done=len(placed) - len(pending)) as advance:
            for path, member in pending:
                _write(path, member, archive)
                advance(1)
    return [path for path, _ in placed]


@contextmanager
def open_zip(path: Path, inner: str = "") -> Iterator[zipfile.ZipFile]:
    """Open a zip, or the zip named ``inner`` inside it, with damage told as ``ArchiveError``."""
    with _damage_told(path), zipfile.ZipFile(path) as outer:
        if not inner:
            yield outer
            return
        _refuse_encrypted(outer.getinfo(inner))
        nested = io.BufferedReader(_Nested(outer, inner), CHUNK)
        with nested, zipfile.ZipFile(nested) as archive:
            yield archive


@contextmanager
def _open_members(path: Path, inner: str) -> Iterator[list[_Member]]:
    if path.name.lower().endswith(".zip"):
        with open_zip(path, inner) as archive:
            yield _zip_members(archive)
    else:
        with _damage_told(path), tarfile.open(path) as tape:
            yield _tar_members(tape)


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})", do="check it") from error
    do = "fetch it again, or check how it was copied"
    try:
        yield
    except DAMAGE as error:
        raise ArchiveError(f"{path} is damaged ({error})", do=do, path=str(path)) from error
    except OSError as error:
        # bz2 tells of damaged data by an OSError without a number.
        if error.errno is None and type(error) is OSError:
            raise ArchiveError(f"{path} is damaged ({error})", do=do, path=str(path)) from error
        raise


def _zip_members(archive: zipfile.ZipFile) -> list[_Member]:
    members = []
    # In the order of the bytes: a zip inside a zip can only be read forwards at speed.
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        kind = stat.S_IFMT(info.external_attr >> 16)
        _refuse_unsafe(info.orig_filename, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if not info.is_dir():
            _refuse_encrypted(info)
            reader = partial(archive.open, info)
            members.append(_Member(info.filename, info.file_size, info.CRC, reader))
    return members


def _tar_members(tape: tarfile.TarFile) -> list[_Member]:
    members = []
    for info in tape.getmembers():
        _refuse_unsafe(info.name, plain=info.isreg() or info.isdir())
        if info.isreg():
            members.append(_Member(info.name, info.size, None, partial(_tar_reader, tape, info)))
    # A tar cut between two members reads without complaint; only the empty block is missing.
    if tape.fileobj is not None:
        tape.fileobj.seek(tape.offset)
        if not tape.fileobj.read(1):
            raise tarfile.ReadError("its end is missing")
    return members


def _tar_reader(tape: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    reader = tape.extractfile(info)
    assert reader is not None
    return reader


def _refuse_unsafe(name: str, *, plain: bool) -> None:
    path = name.replace("\\", "/")
    if path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in path.split("/"):
        problem = "would leave the folder"
    elif "\0" in path:
        problem = "has a name that no file can have"
    elif not plain:
        problem = "is a link or a device"
    else:
        return
    raise ArchiveError(
        f"the archive's member {name!r} {problem}",
        do="do not trust this archive; fetch it from its origin",
        member=name,
    )


def _refuse_encrypted(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise ArchiveError(
            f"the archive's member {info.filename!r} is encrypted",
            do="unpack it with its password and name the folder instead",
            member=info.filename,
        )


def _placed(
    members: Sequence[_Member], folder: Path, place: Callable[[str], str | None]
) -> list[tuple[Path, _Member]]:
    placed: dict[Path, _Member] = {}
    for member in members:
        name = place(member.name.replace("\\", "/"))
        if name is None:
            continue
        path = folder / name
        if path in placed or path == folder:
            raise ArchiveError(
                f"the archive's member {member.name!r} has the place of another, {path}",
                expected="names that differ",
                do="unpack it by hand and name the folder instead",
                member=member.name,
            )
        placed[path] = member
    return list(placed.items())


def _is_whole(path: Path, member: _Member) -> bool:
    try:
        if path.stat().st_size != member.size:
            return False
        return member.crc is None or _crc(path) == member.crc
    except OSError:
        return False


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _write(path: Path, member: _Member, archive: Path) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Reading a zip member to its end compares its CRC.
        with member.open() as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)
        os.replace(temporary, path)
    except (*DAMAGE, OSError) as error:
        with suppress(OSError):
            temporary.unlink()
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise DiskSpaceError(
                f"the disk is full while unpacking {member.name!r} into {path.parent}",
                do="free some space and run again; what was unpacked is kept",
            ) from error
        raise ArchiveError(
            f"{archive}: the member {member.name!r} is damaged or cannot be written ({error})",
            do="fetch the archive again; what was unpacked is kept",
            member=member.name,
        ) from error


class _Nested(io.RawIOBase):
    """A zip inside a zip as a seekable file.

    It is read through once, which checks it and keeps its end, where its directory stands; then
    forwards again, as its members are asked for.
    """

    def __init__(self, outer: zipfile.ZipFile, name: str) -> None:
        self._reopen = partial(outer.open, name)
        if outer.getinfo(name).file_size > WORTH_A_WORD:
            say(f"looking through {name} in {outer.filename}")
        self._size, self._tail = self._read_through()
        self._position = 0
        self._stream = self._reopen()
        self._stream_at = 0

    def _read_through(self) -> tuple[int, bytes]:
        chunks: deque[bytes] = deque()
        size = kept = 0
        with self._reopen() as stream:
            while chunk := stream.read(CHUNK):
                chunks.append(chunk)
                size += len(chunk)
                kept += len(chunk)
                while kept - len(chunks[0]) >= KEPT_TAIL:
                    kept -= len(chunks.popleft())
        return size, b"".join(chunks)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = (0, self._position, self._size)[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        tail_at = self._size - len(self._tail)
        if self._position >= tail_at:
            data = self._tail[self._position - tail_at :][: len(view)]
        else:
            data = self._read_forwards(min(len(view), tail_at - self._position))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read_forwards(self, n: int) -> bytes:
        if self._position < self._stream_at:
            self._stream.close()
            self._stream, self._stream_at = self._reopen(), 0
        while self._stream_at < self._position:
            skipped = self._stream.read(min(CHUNK, self._position - self._stream_at))
            self._stream_at += len(skipped)
        data = self._stream.read(n)
        self._stream_at += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
