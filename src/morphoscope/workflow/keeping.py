"""A file that follows the checkpoints of a stage, so that another machine can go on from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morphoscope.errors import ArchiveError, DiskSpaceError, SourceError
from morphoscope.progress import say
from morphoscope.provenance import RECORD
from morphoscope.workflow.archive import files_below, pack, unpack_checked

__all__ = ["CHECKPOINT", "kept", "restore"]

CHECKPOINT = "checkpoint"
LOOK_EVERY_S = 0.5


@contextmanager
def kept(folder: Path, archive: Path, *, run: Path, recipe: str) -> Iterator[None]:
    """Pack a stage's folder into ``archive`` whenever its files changed, and once at the end.

    A process that is killed outright leaves the last archive; one that is told to end, its last
    checkpoint.
    """
    ended = threading.Event()
    # What was restored is in the archive already.
    seen = _state(folder) if archive.exists() else {}

    def save() -> None:
        nonlocal seen
        try:
            now = _state(folder)
            if now != seen:
                pack(archive, files_below(folder, run), holds=CHECKPOINT, recipe=recipe)
                seen = now
        except FileNotFoundError:
            # One was taken away in between: the next look finds the others.
            return
        except (DiskSpaceError, OSError) as error:
            say(f"WARNING: {archive.name} could not be written ({error})", style="bold red")

    def follow() -> None:
        while not ended.wait(LOOK_EVERY_S):
            save()

    thread = threading.Thread(target=follow, name="checkpoint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        save()


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    found = ((name, path.stat()) for name, path in files_below(folder, folder))
    return {name: (about.st_mtime_ns, about.st_size) for name, about in found}


def restore(archive: Path, run: Path, stage: str, *, recipe: str) -> None:
    """Unpack a checkpoint, if there is one; what cannot be used is told of and left.

    Losing a checkpoint costs time, refusing it would cost every further try of the job.
    """
    if not archive.exists() or (run / stage / RECORD).exists():
        return
    try:
        manifest = unpack_checked(archive, run / f".{CHECKPOINT}", recipe=recipe)
        if manifest.holds != CHECKPOINT:
            raise ArchiveError(f"{archive} holds {manifest.holds}", expected="a checkpoint")
    except (ArchiveError, SourceError) as error:
        say(f"WARNING: {error}; {stage} starts anew", style="bold red")
        return
    (run / f".{CHECKPOINT}" / stage).rename(run / stage)
    say(f"{stage}: goes on from {archive.name}")
