"""What is done with the images: a function from their files to columns, and what decides them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from morphoscope.errors import ImageError, MorphoscopeError

__all__ = ["FAILED", "MISSING", "Files", "Rows", "Task", "flag_of"]

MISSING = "missing"
FAILED = "failed"
Files = tuple[str | None, ...]


@dataclass(frozen=True)
class Rows:
    """What is known of some files, a row each, in their order.

    Attributes
    ----------
    columns
        Arrays by name, of the same types whatever the files hold; null where nothing is known.
    flags
        What a person should know of the row, in a word; else None.
    noted
        Numbers to be summed over the whole run.
    """

    columns: dict[str, pa.Array]
    flags: list[str | None]
    noted: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A work on images, whatever the images.

    Attributes
    ----------
    verb
        Word beside the progress bar.
    rows
        Paths, or None where a table names none, to what is known of them. It is pure, for it may
        run again when a worker dies; and it goes to other processes: a function of a module, or a
        ``functools.partial`` of one. It raises for no image, see `flag_of`.
    decided_by
        What decides the columns besides the images, by its name (``{"model": "1b73…"}``): parts
        of a run that was cut off are kept where all of it is alike.
    metadata
        What the result's metadata say.
    counted
        Columns whose values are counted, each with the word for it.
    """

    verb: str
    rows: Callable[[Files], Rows]
    decided_by: dict[str, str]
    metadata: dict[str, Any] = field(default_factory=dict)
    counted: dict[str, str] = field(default_factory=dict)


def flag_of(error: Exception) -> str:
    """Flag of a row whose image raised an error; errors that are no image's are raised again."""
    if isinstance(error, ImageError):
        return error.reason
    if isinstance(error, MorphoscopeError):
        raise error
    # Among millions of files one finds a defect that nobody thought of; it has its own flag.
    return FAILED
