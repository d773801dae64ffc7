"""Fingerprints of inputs, settings and code, and the question: is this stage up to date?

A stage is up to date when the SHA-256 over its settings, the content of its inputs and the code it
runs is the one its record holds, and its outputs are still those that it wrote.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from morphoscope.catalog import atomic_path, is_half_written
from morphoscope.recipe.model import IMAGENET

__all__ = [
    "Fingerprint",
    "StageRecord",
    "content_digest",
    "digest_of_name",
    "file_digest",
    "files_digest",
    "files_within",
    "known_digest",
    "read_record",
    "settings_digest",
    "versions",
    "weights_digest",
    "with_digests",
    "write_record",
]

RECORD = "stage.json"


@dataclass(frozen=True)
class Fingerprint:
    """What a result depends on, each part a SHA-256 in hexadecimal."""

    settings: str
    inputs: dict[str, str]
    code: str

    def differences(self, other: Fingerprint) -> list[str]:
        """Say which parts differ, in words."""
        found = []
        if self.settings != other.settings:
            found.append("settings changed")
        for name in sorted({*self.inputs, *other.inputs}):
            if self.inputs.get(name) != other.inputs.get(name):
                found.append(f"{name} changed")
        if self.code != other.code:
            found.append("code changed")
        return found


@dataclass(frozen=True)
class StageRecord:
    """What a stage did, kept as ``stage.json`` beside its outputs.

    ``state`` is ``running`` from the start until every output is whole, then ``done``.
    """

    stage: str
    state: str
    fingerprint: Fingerprint
    started: str
    seconds: float = 0.0
    outputs: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def write_record(folder: Path, record: StageRecord) -> None:
    """Write a stage's record, whole or not at all."""
    with atomic_path(folder / RECORD) as path:
        path.write_text(json.dumps(asdict(record), indent=1, sort_keys=True))


def read_record(folder: Path) -> StageRecord | None:
    """Read a stage's record; ``None`` when there is none, or it is from another format."""
    try:
        values = json.loads((folder / RECORD).read_text())
        return StageRecord(**{**values, "fingerprint": Fingerprint(**values["fingerprint"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Digest of JSON values, the same for the same values in any order."""
    return _digest(json.dumps(settings, sort_keys=True, ensure_ascii=False).encode())


def file_digest(path: Path) -> str:
    """SHA-256 of one file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def known_digest(path: Path) -> str:
    """SHA-256 of one file's content, read once in a process as long as the file is the same."""
    found = path.stat()
    return _digest_once(path, found.st_ino, found.st_size, found.st_mtime_ns)


def digest_of_name(name: str, sha256: str) -> str:
    """What `content_digest` finds of one file of that name and content."""
    return _digest(f"{name} {sha256}".encode("utf-8", "surrogateescape"))


def content_digest(paths: Iterable[Path]) -> str:
    """Digest of the names and content of files, folders taken whole."""
    files: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            members = files_within(path)
            files.extend((f"{path.name}/{p.relative_to(path).as_posix()}", p) for p in members)
        elif path.exists():
            files.append((path.name, path))
    return _digest_of(sorted(files))


def weights_digest(weights: str) -> str:
    """What stands for ``train.weights`` where settings are compared: a file counts by content."""
    return weights if weights in ("", IMAGENET) else content_digest([Path(weights)])


def with_digests(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the content of ``train.weights`` in the place of paths."""
    train = settings["train"]
    others = [
        {**one, "weights": weights_digest(one["weights"])} if "weights" in one else one
        for one in train["others"]
    ]
    own = {"weights": weights_digest(train["weights"]), "others": others}
    return {**settings, "train": {**train, **own}}


def files_digest(paths: Iterable[str]) -> str:
    """Digest of the content of files, each under its whole path; absent ones count as such."""
    return _digest_of([(path, Path(path)) for path in sorted(set(paths))])


def _digest_of(files: Sequence[tuple[str, Path]]) -> str:
    with ThreadPoolExecutor() as pool:
        digests = pool.map(_digest_or_error, (path for _, path in files))
        lines = [f"{name} {digest}" for (name, _), digest in zip(files, digests, strict=True)]
    return _digest("\n".join(lines).encode("utf-8", "surrogateescape"))


def files_within(folder: Path) -> list[Path]:
    """Files at any depth, half-written ones left out; links are followed, each folder once."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        identity = os.path.realpath(place)
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = [name for name in folders if not is_half_written(name)]
        whole = [name for name in names if not is_half_written(name)]
        found += [path for name in whole if (path := Path(place, name)).is_file()]
    return found


def _digest_or_error(path: Path) -> str:
    try:
        return known_digest(path)
    except OSError as error:
        return f"unreadable {error.errno}"


@functools.lru_cache(maxsize=200_000)
def _digest_once(path: Path, *seen: int) -> str:
    """Digest of a file; several stages of one run ask for it."""
    return file_digest(path)


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that decide results."""
    found = {"python": platform.python_version()}
    names = ("morphoscope", "numpy", "opencv-python-headless", "polars", "torch", "onnxruntime")
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
