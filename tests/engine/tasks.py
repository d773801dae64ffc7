"""What the tests have workers do."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from morphoscope.prepare import open_store
from morphoscope.provenance import file_digest

__all__ = [
    "Errand",
    "die_at_seven",
    "digest",
    "note",
    "open_images",
    "said_of",
    "say_python",
    "say_where",
    "stand_still_once",
]


class Errand(NamedTuple):
    """A number, and a folder that workers share."""

    number: int
    folder: Path


def said_of(number: int) -> str:
    """What a number decides."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def digest(errand: Errand) -> str:
    """Take a moment; a digest that the number decides."""
    time.sleep(0.25)
    return said_of(errand.number)


def note(errand: Errand) -> str:
    """Write the digest down where all workers write."""
    found = digest(errand)
    (errand.folder / f"{errand.number}.txt").write_text(found)
    return found


def say_where(errand: Errand) -> str:
    """Name of the node, where an image of the folder can be seen from."""
    time.sleep(0.25)
    (errand.folder / "image.txt").read_text()
    return os.environ["SLURMD_NODENAME"]


def open_images(store: Path) -> tuple[str, str]:
    """Open an image store and keep the worker busy; on which node, and the images' digest there."""
    open_store(store)
    time.sleep(1)
    return os.environ["SLURMD_NODENAME"], file_digest(store / "images.npy")


def say_python(number: int) -> str:
    """Which Python runs this."""
    return sys.executable


def stand_still_once(errand: Errand) -> str:
    """Hang when the seventh is tried first, as in a read that never ends."""
    mark = errand.folder / "stood"
    if errand.number == 7 and not mark.exists():
        mark.touch()
        time.sleep(3600)
    return digest(errand)


def die_at_seven(errand: Errand) -> str:
    """End the process, as a decoder does that crashes."""
    if errand.number == 7:
        os.abort()
    return digest(errand)
