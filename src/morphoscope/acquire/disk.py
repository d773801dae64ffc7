"""Room on the disk, looked at before it is filled."""

from __future__ import annotations

import shutil
from pathlib import Path

from morphoscope.errors import DiskSpaceError

__all__ = ["require_room"]


def require_room(folder: Path, n_bytes: int, what: str) -> None:
    """Raise ``DiskSpaceError`` unless ``folder`` can take ``n_bytes`` more."""
    place = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise DiskSpaceError(
            f"{what} needs {n_bytes:,} bytes and {place} has {free:,} free",
            do="free some space, or choose another folder, and run again",
            needed=n_bytes,
            free=free,
        )
