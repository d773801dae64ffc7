"""Images in memory that are in none any more, as after a kill: all workers make them again."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from morphoscope.engine import Engine, areas
from morphoscope.engine.work import exclusive
from morphoscope.prepare.in_memory import (
    BUSY,
    PART,
    changed,
    give_back,
    gone,
    is_in_memory,
    is_somewhere,
    is_there,
    require_kept,
    shards_again,
)
from morphoscope.prepare.shards import write_shard, write_shard_carefully
from morphoscope.prepare.space import allocate
from morphoscope.prepare.spread import Gathering, gather_whole, keep_shard, keep_shard_carefully
from morphoscope.prepare.store import IMAGES, read_description
from morphoscope.progress import progress, say
from morphoscope.provenance import known_digest

__all__ = ["make_again"]


def make_again(folder: Path, engine: Engine) -> None:
    """Have all workers make the images of a store again, if they were in memory and are gone.

    A single process that opens the store would do the same, alone. The engine works for
    ``prepare`` then.

    Raises
    ------
    StoreError
        They cannot be made as they were.
    EngineError
        The memory cannot be used.
    """
    described = read_description(folder) or {}
    if described.get("state") != "complete" or not is_in_memory(folder / IMAGES):
        return
    place = Path(os.path.realpath(folder / IMAGES))
    engine.turn_to("prepare")
    if engine.clustered:
        # Workers may be there already and have them; those of this process's machine need not.
        if not all(found for _, found in engine.map(is_somewhere, [(place, described)])):
            say(gone(folder))
            _apart(folder, place, described, engine)
        return
    # What is not claimed is cleared by the next claim.
    areas.claim(place.parent)
    if not is_there(place, described):
        say(gone(folder))
        _here(folder, place, described, engine)
        engine.rest()


def _here(folder: Path, place: Path, described: dict[str, Any], engine: Engine) -> None:
    """Have the processes of this machine do it."""
    part = place.with_name(PART)
    with exclusive(place.parent / BUSY, math.inf):
        shards = shards_again(folder, part, described)
        part.unlink(missing_ok=True)
        allocate(part, shards[0].shape, shards[0].dtype)
        with progress("prepare", described["shape"][0]) as advance:
            for _, result in engine.map(write_shard, shards, careful=write_shard_carefully):
                require_kept(folder, result)
                advance(result.n)
        if known_digest(part) != described["sha256"]:
            part.unlink()
            raise changed(folder, described)
        part.replace(place)


def _apart(folder: Path, place: Path, described: dict[str, Any], engine: Engine) -> None:
    """Have each worker of a cluster keep its part, and one gather them all."""
    shards = shards_again(folder, place, described)
    found = {}
    with progress("prepare", described["shape"][0]) as advance:
        for index, kept in engine.map(keep_shard, shards, careful=keep_shard_carefully):
            require_kept(folder, kept.result)
            found[index] = kept
            advance(kept.result.n)
    ordered = [found[index] for index in range(len(shards))]
    whole = Gathering(place, shards, ordered, range(described["shape"][0]))
    for _, digest in engine.map(gather_whole, [whole]):
        if digest != described["sha256"]:
            give_back(folder)
            raise changed(folder, described)
