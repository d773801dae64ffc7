"""Which model a folder serves: a new one in one step, and the former one back in one.

::

    models/
      discs/                     served
      former/
        history.json             which model took the place of which
        4f0c5e7a91b2/            the one before, by its id

What is served is whole at any moment: the new bundle is copied beside first, and the two folders
then change places in one system call.
"""

from __future__ import annotations

import ctypes
import datetime
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.bundle.opening import MANIFEST
from morphoscope.catalog import atomic_path
from morphoscope.errors import BundleError, MorphoscopeError

__all__ = ["FORMER", "Promotion", "promote", "rollback"]

FORMER, HISTORY = "former", "history.json"
PROMOTED, ROLLED_BACK = "promoted", "rolled back"
AT_CWD, EXCHANGE = -100, 2
ASIDE = ".aside"


@dataclass(frozen=True)
class Promotion:
    """What was done to a folder of served models.

    Attributes
    ----------
    name
        Of the model, and of its folder.
    served
        Id of the one that is served now.
    former
        Id of the one that was, and is kept in ``former/``; empty: there was none.
    """

    name: str
    served: str
    former: str


def promote(bundle: Path, folder: Path, *, instead_of: str | None = None) -> Promotion:
    """Serve a bundle; the one that is served by now is kept under its id.

    Called again it does nothing more. Where another process reads the folder meanwhile, it finds
    the one whole model or the other.

    Parameters
    ----------
    bundle
        Folder of the new model.
    folder
        Folder of served models, as of ``morphoscope serve --models``; made when absent.
    instead_of
        Id that is expected there; None: whatever it is.

    Raises
    ------
    BundleError
        The bundle is damaged, or another model than expected is served.
    """
    new = open_bundle(bundle)
    with _reserved(folder):
        _settle(folder)
        place = folder / new.name
        served = _id_of(place)
        if served == new.id:
            return Promotion(new.name, new.id, _predecessor(folder, new.id) or "")
        if instead_of is not None and served not in ("", instead_of):
            raise BundleError(
                f"{place} serves the model {served}",
                expected=f"{instead_of}, which the new one was compared with",
                do="compare with the one that is served: retrain from its run",
            )
        _put(new, folder, served, PROMOTED)
        return Promotion(new.name, new.id, served)


def rollback(folder: Path, *, to: str = "", name: str = "") -> Promotion:
    """Serve a former model again; the one that is served by now is kept as well.

    Parameters
    ----------
    folder
        Folder of served models.
    to
        Id of the former model; empty: the one whose place the served one took.
    name
        Of the model; empty: the only one that has a former.

    Raises
    ------
    BundleError
        There is no such former model, or it does not follow which one is meant.
    """
    with _reserved(folder):
        _settle(folder)
        former = _former(folder)
        chosen = to or _latest(folder, former, name)
        if chosen not in former:
            raise BundleError(
                f"{folder} keeps no former model {chosen}",
                expected=f"one of {', '.join(former) or 'none'}",
                do="name one with --to",
            )
        back = former[chosen]
        served = _id_of(folder / back.name)
        _put(back, folder, served, ROLLED_BACK)
        return Promotion(back.name, back.id, served)


def _put(bundle: Bundle, folder: Path, served: str, why: str) -> None:
    """Copy a bundle beside the one that is served, and let the two change places."""
    place, beside = folder / bundle.name, folder / FORMER / f".{bundle.id}.partial"
    if not served and place.exists():
        raise BundleError(f"{place} is there and is no whole bundle", do="move it away")
    beside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(bundle.folder, beside)
    copy = open_bundle(beside)
    _synchronise(copy.folder)
    if not served:
        beside.rename(place)
        return
    _note(folder, {"name": bundle.name, "id": served, "by": bundle.id, "why": why})
    _exchange(place, beside)
    _keep(folder, beside, served)


def _keep(folder: Path, beside: Path, served: str) -> None:
    kept = folder / FORMER / served
    if kept.exists():
        # The same content: its id is its digest.
        shutil.rmtree(beside)
    else:
        beside.rename(kept)


def _settle(folder: Path) -> None:
    """Finish, or undo, what a process that was killed has left beside."""
    for aside in (folder / FORMER).glob(f"*{ASIDE}"):
        place = folder / aside.name.removesuffix(ASIDE)
        if place.exists():
            _keep(folder, aside, _id_of(aside))
        else:
            aside.rename(place)
    for beside in (folder / FORMER).glob(".*.partial"):
        if beside.is_file():
            beside.unlink()
            continue
        found = _id_of(beside)
        wanted = beside.name.removeprefix(".").removesuffix(".partial")
        if found and found != wanted:
            # The two had changed places: this one was served.
            _keep(folder, beside, found)
        else:
            shutil.rmtree(beside)


def _exchange(place: Path, beside: Path) -> None:
    """Let two folders change places at once; where the system cannot, one after the other."""
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "renameat2", None)
    if call is not None:
        paths = os.fsencode(place), os.fsencode(beside)
        if call(AT_CWD, paths[0], AT_CWD, paths[1], EXCHANGE) == 0:
            return
    # The server waits for its second look before it takes a folder for gone.
    aside = beside.with_name(f"{place.name}{ASIDE}")
    place.rename(aside)
    beside.rename(place)
    aside.rename(beside)


@contextmanager
def _reserved(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".promotion.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BundleError(
                f"another process changes the models of {folder}", do="wait for it"
            ) from error
        yield


def _id_of(place: Path) -> str:
    """Id of the whole bundle in a folder; empty where there is none."""
    if not (place / MANIFEST).is_file():
        return ""
    try:
        return open_bundle(place).id
    except MorphoscopeError:
        return ""


def _former(folder: Path) -> dict[str, Bundle]:
    """Former models by id."""
    found = {}
    for path in sorted((folder / FORMER).glob(f"*/{MANIFEST}")):
        if not path.parent.name.startswith(".") and _id_of(path.parent) == path.parent.name:
            found[path.parent.name] = open_bundle(path.parent)
    return found


def _latest(folder: Path, former: dict[str, Bundle], name: str) -> str:
    """The model whose place the served one took."""
    names = sorted({bundle.name for bundle in former.values() if name in ("", bundle.name)})
    if len(names) != 1:
        raise BundleError(
            f"{folder} keeps {'former models of ' + ', '.join(names) if names else 'none'}",
            expected="one model that has a former",
            do="name the former model with --to" if names else "there is nothing to go back to",
        )
    before = _predecessor(folder, _id_of(folder / names[0]))
    if before is None:
        raise BundleError(
            f"it is not known which model the served {names[0]} took the place of",
            expected=f"one of {', '.join(former)}",
            do="name it with --to",
        )
    return before


def _predecessor(folder: Path, served: str) -> str | None:
    steps = [one for one in _history(folder) if one["by"] == served and one["why"] == PROMOTED]
    return str(steps[-1]["id"]) if steps else None


def _history(folder: Path) -> list[dict[str, Any]]:
    path = folder / FORMER / HISTORY
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text()))
    except ValueError as error:
        raise BundleError(f"{path} is damaged ({error})", do="mend it, or move it away") from error


def _note(folder: Path, step: dict[str, str]) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    steps = [*_history(folder), {**step, "when": now}]
    with atomic_path(folder / FORMER / HISTORY) as path:
        path.write_text(json.dumps(steps, indent=1))


def _synchronise(folder: Path) -> None:
    """Have the disk hold every file before the folder gets its place."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
