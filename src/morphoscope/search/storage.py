"""Where the trials of a search are kept, for all its processes: a journal file, or PostgreSQL."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from morphoscope.errors import MissingDependencyError, RecipeError, StudyError

__all__ = ["JOURNAL", "open_storage", "shown_url"]

JOURNAL = "journal.log"
UNREACHABLE = (StorageInternalError, SQLAlchemyError)
SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")


class JournalLock:
    """A lock that the kernel frees with its process, and that mends what a killed one left.

    Optuna's own locks are files, which outlive a killed process by half a minute; and a line that
    was cut off would make the journal unreadable with the next one.
    """

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self._held: TextIO | None = None

    def acquire(self) -> bool:
        held = self.journal.with_name(f".{self.journal.name}.lock").open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
        self._held = held
        self._mend()
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def _mend(self) -> None:
        with self.journal.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            if not end:
                return
            file.seek(-1, os.SEEK_END)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def open_storage(folder: Path, url: str) -> Iterator[BaseStorage]:
    """Open the storage of a search.

    Parameters
    ----------
    folder
        Folder of the search, where the journal lies.
    url
        Of a PostgreSQL database; empty for the journal.

    Raises
    ------
    StudyError
        The storage cannot be reached, or is damaged.
    MissingDependencyError
        The driver of the database is not installed.
    """
    optuna.logging.set_verbosity(logging.ERROR)
    place = url or str(folder / JOURNAL)
    with ExitStack() as closing:
        try:
            storage = _database(url, closing) if url else _journal(folder / JOURNAL)
            yield storage
        except UNREACHABLE as error:
            raise _out_of_reach(place, error) from error


def shown_url(url: str) -> str:
    """The address without the password."""
    before, at, host = url.rpartition("@")
    scheme, slashes, user = before.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}@{host}" if at else url


def _journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalLock(path)
    # It has the two methods of Optuna's locks, whose class is not public.
    backend = JournalFileBackend(str(path), lock_obj=lock)  # type: ignore[arg-type]
    lock.acquire()
    lock.release()
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise StudyError(
            f"the journal of trials {path} is damaged ({error})",
            do="bring back a copy, or remove its folder and search again",
        ) from error


def _database(url: str, closing: ExitStack) -> RDBStorage:
    if not url.startswith(SCHEMES):
        raise RecipeError(
            f"search.storage is {shown_url(url)!r}",
            expected="postgresql://user@host/database, or nothing: a file of the run folder",
        )
    address = f"postgresql+psycopg://{url.partition('://')[2]}"
    try:
        import psycopg  # noqa: F401 - asked for before SQLAlchemy says it in its own words
    except ImportError as error:
        raise MissingDependencyError(
            "search.storage is a PostgreSQL database, and its driver is not installed",
            do="pip install 'morphoscope[postgresql]'",
        ) from error
    storage = RDBStorage(address, engine_kwargs={"connect_args": {"connect_timeout": 10}})
    closing.callback(storage.engine.dispose)
    closing.callback(storage.remove_session)
    return storage


def _out_of_reach(place: str, error: Exception) -> StudyError:
    said = str(error.__cause__ or error).strip().splitlines()
    return StudyError(
        f"the trials' storage {shown_url(place)} cannot be used ({said[0] if said else error})",
        do="start the database or mend search.storage; no trial is lost",
    )
