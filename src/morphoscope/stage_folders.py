"""The folder of a stage: what it holds, whose it is, and how it is moved and cleared."""

from __future__ import annotations

import shutil
from pathlib import Path

from morphoscope.errors import StageError
from morphoscope.prepare.in_memory import declared
from morphoscope.provenance import RECORD, content_digest

__all__ = ["clear", "move", "outputs", "require_own"]


def outputs(folder: Path) -> dict[str, str]:
    """Digests of all that a stage left, by name; of images in memory, as they are declared."""
    entries = sorted(p for p in folder.iterdir() if p.name != RECORD and p.name[0] != ".")
    return {entry.name: declared(entry) or content_digest([entry]) for entry in entries}


def require_own(folder: Path, keeps: tuple[str, ...]) -> None:
    """Refuse to work, and to clear, where somebody else's files lie."""
    if not folder.exists() or (folder / RECORD).exists():
        return
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else [folder.name]
    if any(not name.startswith(".") and name not in keeps for name in names):
        raise StageError(
            f"{folder} is there already and was not made by morphoscope",
            expected="a run folder, or one in which no folder has the name of a stage",
            do="name another --out",
        )


def move(folder: Path, place: Path, keeps: tuple[str, ...] = ()) -> None:
    """Move a result, its record last, so that what is half moved is not taken for whole."""
    place.mkdir(parents=True, exist_ok=True)
    for entry in _record_last(folder):
        if entry.name not in keeps:
            entry.rename(place / entry.name)


def _record_last(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda entry: entry.name == RECORD)


def clear(folder: Path, keeps: tuple[str, ...]) -> None:
    """Remove a result, all but some files, its record last."""
    if not folder.exists():
        return
    for entry in _record_last(folder):
        if entry.name in keeps:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
