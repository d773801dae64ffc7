"""Where work runs: this process, local processes, or the workers of a cluster, through Dask.

A stage that fans out hands ``map`` a module-level function and the list of its items, and takes
back ``(index, result)`` pairs as they are ready. Functions are pure: they may be run again when a
worker dies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from morphoscope.engine.activity import Activity
from morphoscope.engine.inline import InlineEngine
from morphoscope.engine.places import Counted, Engine, cores
from morphoscope.engine.work import OutOfTimeError, deadline
from morphoscope.recipe import EngineSettings

__all__ = ["Counted", "Engine", "OutOfTimeError", "cores", "deadline", "open_engine"]


@contextmanager
def open_engine(
    settings: EngineSettings,
    *,
    stage: str = "",
    folder: Path | None = None,
    watched: Sequence[Path] = (),
    seen: Sequence[Path] = (),
) -> Iterator[Engine]:
    """Open the engine that the settings name; closed on leaving.

    Parameters
    ----------
    settings
        What it is.
    stage
        What it begins with; `Engine.turn_to` takes another one.
    folder
        Where it writes down what ran where, and where jobs leave their logs; absent: nowhere.
    watched
        Files and folders on a shared file system; a task waits where one is away.
    seen
        Further ones that workers in containers must see.
    """
    activity = Activity(folder)
    if settings.kind == "inline" or (settings.kind == "local" and _one(settings.at(stage))):
        engine: Engine = InlineEngine(activity)
    else:
        from morphoscope.engine.fanning import DaskEngine

        engine = DaskEngine(
            settings, activity, tuple(path.absolute() for path in watched), tuple(seen)
        )
    engine.turn_to(stage)
    try:
        yield engine
    finally:
        engine.rest()


def _one(settings: EngineSettings) -> bool:
    return (settings.workers or cores()) == 1
