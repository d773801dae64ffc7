"""From the events of an engine to numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Again", "Map", "Run", "Summary", "summarize"]

# The rate is that of so many of the last tasks.
LATELY = 50


@dataclass(frozen=True)
class Run:
    """A task that was done: its stage, its number, on which worker, when (s since 1970)."""

    stage: str
    task: int
    worker: str
    began: float
    seconds: float


@dataclass(frozen=True)
class Again:
    """A task that was tried again, and why."""

    stage: str
    task: int
    worker: str
    time: float
    why: str


@dataclass
class Map:
    """Tasks that were handed out together.

    Attributes
    ----------
    stage
        For which they are.
    began
        When (s since 1970).
    tasks
        How many; None where that was not known before.
    done, again
        What became of them.
    ended
        When; None while it goes on, or where it was cut off.
    failed
        Why it ended early; empty where it did not.
    """

    stage: str
    began: float
    tasks: int | None
    done: list[Run] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)
    ended: float | None = None
    failed: str = ""

    @property
    def per_s(self) -> float | None:
        """Tasks a second lately; None of fewer than two."""
        ends = sorted(run.began + run.seconds for run in self.done)[-LATELY:]
        if len(ends) < 2 or ends[-1] <= ends[0]:
            return None
        return (len(ends) - 1) / (ends[-1] - ends[0])

    @property
    def left_s(self) -> float | None:
        """Seconds that it will yet take at that rate; None where that is not known."""
        if self.ended is not None or self.tasks is None or not self.per_s:
            return None
        return (self.tasks - len(self.done)) / self.per_s


@dataclass(frozen=True)
class Summary:
    """What an engine has done.

    Attributes
    ----------
    maps
        In the order in which they began.
    workers
        Tasks that each worker had when that was last noted; empty where no cluster works now.
    dashboard
        Address of Dask's own page.
    lost
        What became of jobs whose worker never came.
    """

    maps: list[Map]
    workers: dict[str, list[int]]
    dashboard: str
    lost: list[str]

    @property
    def runs(self) -> list[Run]:
        """All tasks that were done."""
        return [run for one in self.maps for run in one.done]

    @property
    def tried_again(self) -> list[Again]:
        """All tasks that were tried again."""
        return [again for one in self.maps for again in one.again]

    def by_stage(self) -> dict[str, dict[str, Any]]:
        """Of each stage: tasks done, workers, tried again, seconds of work, median, failure."""
        found: dict[str, dict[str, Any]] = {}
        for stage in dict.fromkeys(one.stage for one in self.maps):
            runs = [run for run in self.runs if run.stage == stage]
            seconds = [run.seconds for run in runs]
            found[stage] = {
                "tasks": len(runs),
                "workers": len({run.worker for run in runs}),
                "again": sum(again.stage == stage for again in self.tried_again),
                "seconds": sum(seconds),
                "median": statistics.median(seconds) if seconds else 0.0,
                "failed": next((m.failed for m in self.maps if m.stage == stage and m.failed), ""),
            }
        return found

    def reasons(self) -> list[tuple[str, int]]:
        """Why tasks were tried again, the most frequent first."""
        return Counter(again.why for again in self.tried_again).most_common()


def summarize(events: Sequence[dict[str, Any]]) -> Summary:
    """Gather events.

    Parameters
    ----------
    events
        As `morphoscope.engine.activity.read_activity` gives them; what an unknown version wrote
        between is passed over.
    """
    maps: list[Map] = []
    workers: dict[str, list[int]] = {}
    dashboard, lost = "", []
    for event in events:
        what, stage, time = event.get("what"), event.get("stage", ""), event.get("time", 0.0)
        if what == "begin":
            maps.append(Map(stage, time, event.get("tasks")))
        elif what == "alive":
            workers, dashboard = event.get("workers", {}), event.get("dashboard", "")
        elif what == "job":
            lost.append(event.get("why", ""))
        elif maps:
            _add(maps[-1], event, what, time)
            if what in ("end", "failed"):
                workers = {}
    return Summary(maps, workers, dashboard, lost)


def _add(one: Map, event: dict[str, Any], what: str | None, time: float) -> None:
    if what == "done":
        one.done.append(
            Run(one.stage, event["task"], event["worker"], event["began"], event["seconds"])
        )
    elif what == "again":
        one.again.append(Again(one.stage, event["task"], event["worker"], time, event["why"]))
    elif what == "end":
        one.ended = time
    elif what == "failed":
        one.ended, one.failed = time, event.get("why", "")
