"""Fetch one file over HTTP: resumed after a cut, verified, and under its name only when whole.

What has arrived is kept as ``<name>.part``; ``<name>.part.json`` says of which version of the
remote file it is, so that pieces of two versions are never put together.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import itertools
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import morphoscope
from morphoscope.acquire.disk import require_room
from morphoscope.catalog import atomic_path
from morphoscope.errors import DiskSpaceError, DownloadError
from morphoscope.progress import progress, say
from morphoscope.provenance import file_digest
from morphoscope.recipe import Download

__all__ = ["download", "part_names"]

CHUNK = 1 << 18
MEGABYTE = 1_000_000
LONGEST_WAIT_S = 60.0
WORTH_ANOTHER_TRY = frozenset({408, 416, 425, 429, 500, 502, 503, 504})


def download(
    item: Download,
    folder: Path,
    *,
    timeout_s: float = 30.0,
    attempts: int = 6,
    wait_s: float = 1.0,
) -> Path:
    """Fetch a file into a folder, unless it is already there, whole and true.

    Parameters
    ----------
    item
        Address, name, SHA-256 and size of the file.
    folder
        Where it goes; made if absent.
    timeout_s
        Silence after which a connection is given up (s).
    attempts
        Failed tries before it is given up; counted anew after each that brought more.
    wait_s
        Wait after the first failed try (s); doubled after each further one.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DownloadError
        The address is refused, the server is silent, or what it sends is not the file.
    DiskSpaceError
        There is too little room; what has arrived is kept.
    """
    target = _checked_target(item, folder)
    if _is_whole(target, item):
        return target
    with _opened(target, item) as part:
        if item.size_bytes:
            require_room(folder, item.size_bytes - part.size, f"fetching {item.name}")
        _fetch(part, timeout_s, attempts, wait_s)
        if part.sha256 != item.sha256.lower() and part.in_pieces:
            say(f"{item.name}: the pieces do not fit together; fetching it anew")
            part.restart({})
            _fetch(part, timeout_s, attempts, wait_s)
        if part.sha256 != item.sha256.lower():
            part.delete()
            raise DownloadError(
                f"{item.url} sent {part.size:,} bytes of SHA-256 {part.sha256}",
                expected=f"SHA-256 {item.sha256.lower()}",
                do="it was deleted; run again, and if it stays so ask whether the file was renewed",
                found_sha256=part.sha256,
                expected_sha256=item.sha256.lower(),
            )
        part.finish()
    return target


def part_names(name: str) -> tuple[str, str]:
    """Names of what stands beside ``name`` while it is fetched: the part and its note."""
    return f"{name}.part", f"{name}.part.json"


def _checked_target(item: Download, folder: Path) -> Path:
    if not re.match("https?://", item.url, re.IGNORECASE):
        raise DownloadError(f"the address is {item.url!r}", expected="one of http:// or https://")
    if item.name in ("", "..") or Path(item.name).name != item.name:
        raise DownloadError(f"the name is {item.name!r}", expected="a file name without folders")
    if not re.fullmatch("[0-9a-fA-F]{64}", item.sha256):
        raise DownloadError(
            f"the SHA-256 of {item.name} is {item.sha256!r}", expected="64 hexadecimal digits"
        )
    return folder / item.name


def _opened(target: Path, item: Download) -> _Part:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _Part(target, item)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DownloadError(
            f"{target.parent} cannot be written ({error.strerror})",
            do="name another folder as data, or gain the right to write there",
        ) from error


def _is_whole(target: Path, item: Download) -> bool:
    if not target.is_file() or item.size_bytes not in (None, target.stat().st_size):
        return False
    return file_digest(target) == item.sha256.lower()


class _Retry(Exception):  # noqa: N818 - not an error to whom it reaches, but a turn of the loop
    """The try ended; another may do better."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class _Part:
    """What has arrived of a file, its hash so far, and of which version it is."""

    def __init__(self, target: Path, item: Download) -> None:
        self.target, self.item = target, item
        part, note = part_names(target.name)
        self.path, self.note_path = target.with_name(part), target.with_name(note)
        # Unbuffered: what is counted is on its way to the disk, also when this process is killed.
        self.handle = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", 0)
        self.size = 0
        self.note: dict[str, Any] = {}
        self.in_pieces = False
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self._lock()
            self._take_up()
        except BaseException:
            self.handle.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.handle.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may just have renamed it to its final name.
            if self.path.stat().st_ino == os.fstat(self.handle.fileno()).st_ino:
                return
        except (BlockingIOError, FileNotFoundError):
            pass
        raise DownloadError(
            f"another process is fetching {self.target}", do="wait for it, then run again"
        )

    def _take_up(self) -> None:
        try:
            self.note = json.loads(self.note_path.read_text())
        except (OSError, ValueError):
            self.note = {}
        if self.note.get("url") != self.item.url:
            self.restart({})
        while chunk := self.handle.read(CHUNK):
            self._count(chunk)
        self.in_pieces = self.size > 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def expected_size(self) -> int | None:
        size: int | None = self.item.size_bytes or self.note.get("size")
        return size

    @property
    def validator(self) -> str:
        return str(self.note.get("validator", ""))

    def restart(self, note: Mapping[str, Any]) -> None:
        """Drop what has arrived; ``note`` describes the version that comes now."""
        self.handle.seek(0)
        self.handle.truncate()
        self.size, self._hash, self.in_pieces = 0, hashlib.sha256(), False
        self.note = {"url": self.item.url, **note}
        with atomic_path(self.note_path) as path:
            path.write_text(json.dumps(self.note))

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self.handle.write(view) :]
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DiskSpaceError(
                f"the disk is full after {self.size:,} bytes of {self.target.name}",
                do="free some space and run again; it goes on from there",
            ) from error
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)

    def delete(self) -> None:
        self.path.unlink()
        self.note_path.unlink(missing_ok=True)

    def finish(self) -> None:
        os.fsync(self.handle.fileno())
        if self.target.exists():
            aside = _free_name(self.target)
            self.target.rename(aside)
            say(f"{self.target} held something else, which is now {aside.name}")
        os.replace(self.path, self.target)
        self.note_path.unlink(missing_ok=True)


def _free_name(taken: Path) -> Path:
    names = (taken.with_name(f"{taken.name}.other{n or ''}") for n in itertools.count())
    return next(name for name in names if not name.exists())


def _fetch(part: _Part, timeout_s: float, attempts: int, wait_s: float) -> None:
    failures, farthest = 0, part.size
    while part.size == 0 or part.size != part.expected_size:
        try:
            _receive(part, timeout_s)
            return
        except (DownloadError, DiskSpaceError):
            raise
        except (_Retry, OSError, http.client.HTTPException) as error:
            failures = 1 if part.size > farthest else failures + 1
            farthest = max(farthest, part.size)
            if failures >= attempts:
                raise DownloadError(
                    f"{part.item.url} did not arrive: {_reason(error)}, in {failures} tries",
                    do=f"run again later; the {part.size:,} bytes that arrived are kept",
                    received=part.size,
                ) from error
            wait = min(max(wait_s * 2 ** (failures - 1), _asked_wait(error)), LONGEST_WAIT_S)
            say(f"{part.item.name}: {_reason(error)}; trying again in {wait:g} s")
            time.sleep(wait)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", "") or str(error) or type(error).__name__
    return "the server fell silent" if "timed out" in str(reason) else str(reason)


def _asked_wait(error: BaseException) -> float:
    return error.wait_s if isinstance(error, _Retry) else 0.0


def _receive(part: _Part, timeout_s: float) -> None:
    """Ask for what is missing and append it; returns when the file is complete."""
    headers = {
        "User-Agent": f"morphoscope/{morphoscope.__version__}",
        "Accept-Encoding": "identity",
    }
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    request = urllib.request.Request(part.item.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            _refused(part, error)
        return
    with response:
        total = _begin(part, response)
        _append_body(part, response, total)


def _refused(part: _Part, error: urllib.error.HTTPError) -> None:
    if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{part.size}":
        return
    if error.code not in WORTH_ANOTHER_TRY:
        raise DownloadError(
            f"{part.item.url} answers {error.code} {error.reason}",
            do="check the address in acquire.downloads",
            status=error.code,
        ) from error
    if error.code == 416:
        part.restart({})
    asked = error.headers.get("Retry-After", "")
    raise _Retry(f"{error.code} {error.reason}", float(asked) if asked.isdigit() else 0.0)


def _begin(part: _Part, response: http.client.HTTPResponse) -> int | None:
    """Compare what the server begins to send with what is here; returns the whole size."""
    note = {"validator": _validator(response)}
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.getheader("Content-Range", ""))
        start, size = (int(found[1]), found[2]) if found else (-1, "*")
        total = int(size) if size.isdigit() else part.expected_size
        same_version = note["validator"] in ("", part.validator)
        if start != part.size or not same_version or total != part.note.get("size", total):
            part.restart({})
            raise _Retry("the file changed on the server")
        part.in_pieces = True
    else:
        length = response.getheader("Content-Length", "")
        total = int(length) if length.isdigit() else None
        part.restart({**note, "size": total} if total else note)
    if total is not None and part.item.size_bytes not in (None, total):
        raise DownloadError(
            f"{part.item.url} has {total:,} bytes",
            expected=f"{part.item.size_bytes:,} bytes",
            do="check the address; the file may have been renewed",
        )
    total = total or part.expected_size
    require_room(part.target.parent, (total or 0) - part.size, f"fetching {part.item.name}")
    return total


def _validator(response: http.client.HTTPResponse) -> str:
    tag = response.getheader("ETag", "")
    weak = not tag or tag.startswith("W/")
    return response.getheader("Last-Modified", "") if weak else tag


def _append_body(part: _Part, response: http.client.HTTPResponse, total: int | None) -> None:
    done = part.size // MEGABYTE
    with progress(f"{part.item.name} (MB)", (total or 0) // MEGABYTE, done=done) as advance:
        while total is None or part.size < total:
            data = response.read1(CHUNK if total is None else min(CHUNK, total - part.size))
            if not data:
                break
            part.append(data)
            advance(part.size // MEGABYTE - done)
            done = part.size // MEGABYTE
    if total is not None and part.size < total:
        raise _Retry(f"cut after {part.size:,} of {total:,} bytes")
