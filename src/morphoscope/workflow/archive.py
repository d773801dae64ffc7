"""A folder as one file: the same bytes for the same content, and checked when unpacked.

A tar without dates, owners and links, its members in order of name. Last comes ``manifest.json``:
of which stage and recipe the archive is, and the SHA-256 of every member.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from morphoscope.acquire.archive import unpack
from morphoscope.catalog import atomic_path
from morphoscope.errors import ArchiveError
from morphoscope.provenance import RECORD, file_digest, files_within, read_record

__all__ = ["INPUTS", "Manifest", "files_below", "pack", "unpack_checked"]

FORMAT = 1
MANIFEST = "manifest.json"
INPUTS = "inputs"
AGAIN = "run the job that makes it again, or copy it again"


@dataclass(frozen=True)
class Manifest:
    """What an archive holds.

    Attributes
    ----------
    holds
        A stage, ``checkpoint`` or ``inputs``.
    recipe
        SHA-256 of the recipe's file that it belongs to.
    files
        SHA-256 of each member by its name.
    """

    holds: str
    recipe: str
    files: dict[str, str]
    format: int = FORMAT


class _Hashing(io.RawIOBase):
    """A file that takes the digest of what is read from it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


def files_below(folder: Path, within: Path) -> list[tuple[str, Path]]:
    """Files of a folder at any depth under their names relative to ``within``, links followed.

    What a process writes at the moment is left out.
    """
    return sorted((path.relative_to(within).as_posix(), path) for path in files_within(folder))


def pack(archive: Path, files: Iterable[tuple[str, Path]], *, holds: str, recipe: str) -> Manifest:
    """Write files into an archive, whole or not at all."""
    digests = {}
    with (
        atomic_path(archive) as path,
        tarfile.open(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tape,
    ):
        for name, source in sorted(files):
            with source.open("rb") as handle:
                # Of the open file: another may take its name at any time.
                digests[name] = _add(tape, name, handle, os.fstat(handle.fileno()).st_size)
        manifest = Manifest(holds, recipe, digests)
        text = json.dumps(asdict(manifest), indent=1, sort_keys=True).encode()
        _add(tape, MANIFEST, io.BytesIO(text), len(text))
    return manifest


def _add(tape: tarfile.TarFile, name: str, handle: IO[bytes], size: int) -> str:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    reader = _Hashing(handle)
    tape.addfile(info, reader)
    return reader.digest.hexdigest()


def unpack_checked(archive: Path, folder: Path, *, recipe: str = "") -> Manifest:
    """Unpack an archive into a folder, beside what other archives brought.

    Nothing is placed before every byte is the one that was packed.

    Parameters
    ----------
    archive
        What ``pack`` wrote.
    folder
        Where its members go.
    recipe
        SHA-256 of the recipe's file that it must belong to; empty: any.

    Raises
    ------
    SourceError
        It is absent or unreadable.
    ArchiveError
        It is damaged, changed, of another recipe, no such archive, or a member would leave the
        folder, is a link, or is one that another archive brought with other content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
        place = Path(temporary)
        unpack(archive, place, place=lambda name: name)
        manifest = _read_manifest(archive, place)
        _require_true(archive, manifest, place)
        if recipe and manifest.recipe != recipe:
            raise ArchiveError(
                f"{archive} was made with another recipe",
                expected="archives of one workflow",
                do="give each job the files of its own workflow",
            )
        for name in manifest.files:
            _put(place / name, folder / name, archive)
    return manifest


def _read_manifest(archive: Path, place: Path) -> Manifest:
    try:
        values = json.loads((place / MANIFEST).read_text())
        manifest = Manifest(**values)
    except (OSError, ValueError, TypeError) as error:
        raise ArchiveError(
            f"{archive} holds no readable {MANIFEST}",
            expected="an archive that a job of the workflow wrote",
            do=AGAIN,
        ) from error
    if manifest.format != FORMAT:
        raise ArchiveError(
            f"{archive} has the format {manifest.format}",
            expected=f"the format {FORMAT}",
            do="use one version of morphoscope for the whole workflow",
        )
    return manifest


def _require_true(archive: Path, manifest: Manifest, place: Path) -> None:
    there = {name for name, _ in files_below(place, place)} - {MANIFEST}
    wrong = sorted(there ^ manifest.files.keys())
    wrong += [
        name
        for name, digest in manifest.files.items()
        if name in there and file_digest(place / name) != digest
    ]
    if wrong:
        raise ArchiveError(
            f"{archive} was changed after it was written: {', '.join(wrong[:3])}",
            expected="the bytes that its manifest tells of",
            do=AGAIN,
            members=wrong,
        )


def _put(source: Path, target: Path, archive: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        source.rename(target)
    elif not _is_same(source, target):
        raise ArchiveError(
            f"{archive} and another archive bring different files {target.name} of "
            f"{target.parent.name}",
            expected="archives of one run of the workflow",
            do="give each job the files of one run",
        )


def _is_same(one: Path, other: Path) -> bool:
    """Whether two files are the same; records may differ in when the stage ran."""
    if one.name == RECORD:
        records = read_record(one.parent), read_record(other.parent)
        if records[0] and records[1]:
            return (records[0].fingerprint, records[0].outputs) == (
                records[1].fingerprint,
                records[1].outputs,
            )
    return file_digest(one) == file_digest(other)
