"""Work that fans out over the workers of a Dask cluster, and comes back if some of them die."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morphoscope.engine.activity import Activity
from morphoscope.engine.clusters import Cluster, start
from morphoscope.engine.places import Item, Result, cores
from morphoscope.engine.work import OTHER_CODE, OUT_OF_TIME, Done, Tried, attempt
from morphoscope.errors import EngineError
from morphoscope.progress import say
from morphoscope.recipe import EngineSettings
from morphoscope.recipe.engine import CLUSTERS
from morphoscope.source_code import package_digest

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskEngine"]

# Tasks in flight for each worker: one at work, one that waits for it.
AHEAD = 2
# So often the cluster is looked at, and what runs is noted.
LOOK_S, NOTE_S = 2.0, 10.0
# Before a task goes out again that a worker could not do.
PAUSE_S = 1.0
# A result that is not here so long after it was made is gone with its worker.
GATHER_S = 20.0
MOST_LOST = 5
# So many tasks, less one, may wait until all else is done to be tried by themselves. With so many
# the first is tried before: perhaps every task ends its workers.
MOST_SUSPECTS = 5
# So many workers that run other code are left out; of more something is wrong with all.
MOST_FOREIGN = 5
# A training may take many jobs, one after the other; a task that never gets on shall not for ever.
MOST_JOBS = 100


class _LostError(Exception):
    """A result was made, and is gone with the worker that made it."""


@dataclass
class _Mapped:
    """A map under way: what waits, what runs, what came back."""

    function: Callable[[Any], Any]
    careful: Callable[[Any], Any] | None
    waiting: Iterator[tuple[int, Any]]
    running: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    jobs: dict[int, int] = field(default_factory=dict)
    # Tasks that wait for their next try: when, and which.
    later: list[tuple[float, int, Any]] = field(default_factory=list)
    careful_now: set[int] = field(default_factory=set)
    # Tasks that were on workers as they died, and perhaps not to blame: each is tried by itself.
    suspects: list[tuple[int, Any]] = field(default_factory=list)
    # The task that has been by itself since it was submitted.
    alone: int | None = None
    back: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)


def _fetch(back: queue.SimpleQueue[Any], future: Any) -> None:
    """Bring a result here as soon as it is there: its worker may leave."""
    try:
        back.put((future, future.result(timeout=GATHER_S), None))
    except Exception as error:
        # A task may raise the same error: then its future has failed, and is not lost.
        lost = isinstance(error, TimeoutError) and future.status != "error"
        future.cancel()
        back.put((future, None, _LostError() if lost else error))


def _are_alike(one: EngineSettings, other: EngineSettings) -> bool:
    """Whether the workers of one do the work of the other; what is in their memory needs them."""
    if one.clustered and one.hand_over == "memory":
        one = one.model_copy(update={"workers": other.workers})
    return one.model_copy(update={"stages": other.stages}) == other


class DaskEngine:
    """Runs on the workers of a Dask cluster, which starts with the first ``map``."""

    def __init__(
        self,
        settings: EngineSettings,
        activity: Activity,
        watched: tuple[Path, ...] = (),
        seen: tuple[Path, ...] = (),
    ) -> None:
        self._all, self._own = settings, settings
        self._activity = activity
        # One machine's own files are not away.
        self._watched = watched if settings.clustered else ()
        self._seen = seen
        self._cluster: Cluster | None = None
        self._noted = 0.0
        self._joined = (0.0, 1)
        # Addresses of workers that run other code.
        self._foreign: set[str] = set()
        # The most workers that the cluster was asked for.
        self._most = 0

    @property
    def workers(self) -> int:
        """Number of items that run at once."""
        if self._own.kind == "address":
            then, n = self._joined
            if time.monotonic() - then > LOOK_S:
                n = max(1, len(self._running().addresses()))
                self._joined = time.monotonic(), n
            return n
        return self._own.workers or (4 if self._own.clustered else cores())

    @property
    def threads(self) -> int:
        """CPU threads that one item may take."""
        if self._own.clustered:
            return self._own.cores or 1
        return max(1, cores() // self.workers)

    @property
    def clustered(self) -> bool:
        """Whether workers may be on other machines."""
        return self._all.clustered

    def turn_to(self, stage: str, workers: int = 0) -> None:
        """Work for a stage from now on; with other resources its workers are others."""
        own = self._all.at(stage)
        if workers:
            own = own.model_copy(update={"workers": workers})
        if not _are_alike(own, self._own) and self._cluster is not None:
            self.rest()
        self._own = own
        self._activity.stage = stage

    def _running(self, items: int | None = None) -> Cluster:
        """The cluster, with no more workers than there are items where that costs jobs."""
        if self._cluster is None:
            n = 0 if self._own.kind == "address" else self.workers
            if self._own.clustered and items is not None:
                n = min(n, items)
            self._most = n
            self._cluster = start(self._own, n, self._activity, (*self._watched, *self._seen))
        elif self._own.kind in CLUSTERS and items is not None:
            wanted = min(self.workers, items)
            self._most = max(self._most, wanted)
            self._cluster.want(wanted)
        return self._cluster

    @property
    def client(self) -> Client:
        """Connection to the cluster."""
        return self._running().client

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        careful: Callable[[Item], Result] | None = None,
        together: int = 1,
    ) -> Iterator[tuple[int, Result]]:
        """Apply ``function`` to every item and yield ``(index, result)`` as they are ready."""
        mapped = _Mapped(function, careful, iter(enumerate(items)))
        with self._activity.mapping(items):
            first = next(mapped.waiting, None)
            if first is None:
                return
            # One task wants one job, however many a stage may have.
            most = max(together, len(items) if isinstance(items, Sized) else self.workers)
            cluster = self._running(most)
            self._submit(mapped, *first)
            try:
                while mapped.running or mapped.later or mapped.suspects:
                    self._fill(mapped)
                    try:
                        wait_s = PAUSE_S if mapped.later else LOOK_S
                        future, done, error = mapped.back.get(timeout=wait_s)
                    except queue.Empty:
                        self._look(cluster, mapped)
                        continue
                    if future not in mapped.running:
                        continue
                    index, item = mapped.running.pop(future)
                    if mapped.suspects and mapped.suspects[0][0] == index:
                        mapped.suspects.pop(0)
                    if self._is_done(mapped, index, item, done, error):
                        self._activity.done(index, done.worker, done.began, done.seconds)
                        self._fill(mapped)
                        yield index, done.result
                    if time.monotonic() - self._noted > NOTE_S:
                        self._look(cluster, mapped)
            finally:
                cluster.cancel(list(mapped.running))

    def _fill(self, mapped: _Mapped) -> None:
        """Submit what is due for another try, then new items, as many as keep workers busy.

        A suspect is submitted when nothing runs and, unless there are too many of them, nothing
        else is left.
        """
        many = len(mapped.suspects) >= MOST_SUSPECTS
        if not many:
            self._submit_others(mapped)
        if mapped.suspects and not mapped.running and (many or not mapped.later):
            self._submit(mapped, *mapped.suspects[0])

    def _submit_others(self, mapped: _Mapped) -> None:
        now = time.monotonic()
        for entry in [one for one in mapped.later if one[0] <= now]:
            mapped.later.remove(entry)
            self._submit(mapped, *entry[1:])
        # With more jobs than it may take, a stage has none wait for its turn at a worker.
        ahead = AHEAD if self._most <= self.workers else 1
        room = ahead * self.workers - len(mapped.running) - len(mapped.later)
        for _, pair in zip(range(max(0, room)), mapped.waiting):
            self._submit(mapped, *pair)

    def _submit(self, mapped: _Mapped, index: int, item: Any) -> None:
        careful = index in mapped.careful_now and mapped.careful is not None
        function = mapped.careful if careful else mapped.function
        limit_s = 0.0 if careful else self._own.task_s
        # Workers of this machine run what this process does.
        code = package_digest() if self.clustered else ""
        tried = Tried(self._watched, self._own.away_s, limit_s, code)
        future = self.client.submit(
            attempt, function, item, tried, pure=False, **self._not_foreign()
        )
        mapped.alone = None if mapped.running else index
        mapped.running[future] = index, item
        future.add_done_callback(functools.partial(_fetch, mapped.back))

    def _not_foreign(self) -> dict[str, Any]:
        """Options of a task that is not to go to workers that run other code."""
        if not self._foreign:
            return {}
        own = [at for at in self._running().addresses() if at not in self._foreign]
        return {"workers": own, "allow_other_workers": True} if own else {}

    def _is_done(
        self, mapped: _Mapped, index: int, item: Any, done: Done, error: Exception | None
    ) -> bool:
        """Whether a task has a result; else it is tried again, or its error raised."""
        if error is not None:
            self._redo(mapped, index, item, error)
            return False
        if not done.trouble:
            return True
        if done.trouble == OUT_OF_TIME:
            self._postpone(mapped, index)
        elif done.trouble.startswith(OTHER_CODE) and len(self._foreign) < MOST_FOREIGN:
            say(f"{done.worker} is left out: {done.trouble}")
            self._foreign.add(done.address)
            self._running().avoid(done.worker, done.address)
            self._require_own_worker(done)
        else:
            self._count(mapped, index, done)
        self._again(mapped, index, item, done.worker, done.trouble)
        return False

    def _require_own_worker(self, done: Done) -> None:
        if self._own.kind == "address" and not self._not_foreign():
            raise EngineError(
                f"no worker of {self._own.address} runs this code; the last: {done.trouble}",
                do="install the same morphoscope there, then start them again",
            )

    def _redo(self, mapped: _Mapped, index: int, item: Any, error: Exception) -> None:
        """Try a task again whose workers died, or whose result did; raise any other error."""
        from distributed import KilledWorker

        if isinstance(error, _LostError):
            mapped.tries[index] = mapped.tries.get(index, 0) + 1
            if mapped.tries[index] > MOST_LOST:
                raise self._running_out(index) from error
            self._again(mapped, index, item, "", "its result was lost with its worker")
            return
        if not isinstance(error, KilledWorker):
            self._running().require_alive(error)
            raise error
        worker = error.last_worker.address
        if mapped.careful is None or index in mapped.careful_now:
            if index == mapped.alone:
                raise self._deadly(index, error) from error
            say(f"task {index} was with workers as they died: it is tried by itself at the end")
            self._activity.again(index, worker, f"it was with the worker {worker} as it died")
            mapped.suspects.append((index, item))
            return
        say(f"task {index} was with workers as they died: image by image now")
        mapped.careful_now.add(index)
        self._again(mapped, index, item, worker, f"it was with the worker {worker} as it died")

    def _again(self, mapped: _Mapped, index: int, item: Any, worker: str, why: str) -> None:
        self._activity.again(index, worker, why)
        mapped.later.append((time.monotonic() + PAUSE_S, index, item))

    def _postpone(self, mapped: _Mapped, index: int) -> None:
        """Count the jobs that ended before a task did; raise where that has no end."""
        mapped.jobs[index] = mapped.jobs.get(index, 0) + 1
        if mapped.jobs[index] == MOST_JOBS:
            raise EngineError(
                f"task {index} was given to {MOST_JOBS} jobs, and none had the time to end it",
                do="set a longer engine.walltime; what is done stays done",
                index=index,
            )

    def _count(self, mapped: _Mapped, index: int, done: Done) -> None:
        """Count a try that failed by the worker's fault; raise after the last one."""
        mapped.tries[index] = mapped.tries.get(index, 0) + 1
        if not self.clustered and done.error is not None:
            # All local workers have the same disk.
            raise done.error
        if mapped.tries[index] < self._own.tries:
            say(f"task {index} is tried again elsewhere: {done.worker} said {done.trouble}")
            self._running().avoid(done.worker, done.address)
            return
        raise EngineError(
            f"task {index} was tried {self._own.tries} times, the last on {done.worker}: "
            f"{done.trouble}",
            do="mend that, then call the same command again: what is done stays done",
            index=index,
        ) from done.error

    def _running_out(self, index: int) -> EngineError:
        return EngineError(
            f"the result of task {index} was lost {MOST_LOST} times with its worker",
            do="look why workers leave so soon; a longer engine.walltime may help",
            index=index,
        )

    def _deadly(self, index: int, error: Any) -> EngineError:
        limit = f", or took longer than engine.task_s = {self._own.task_s:g} s,"
        logs = self._running().logs
        return EngineError(
            f"item {index} ended every worker that tried it{limit if self._own.task_s else ''} "
            f"({error})",
            do="look at that item; memory may be short"
            + (f"; logs of the workers: {logs}" if logs else ""),
            index=index,
        )

    def _look(self, cluster: Cluster, mapped: _Mapped) -> None:
        """See that the cluster is alive and whole, and note who is at work."""
        cluster.mend()
        if time.monotonic() - self._noted > NOTE_S:
            self._noted = time.monotonic()
            numbers = {future.key: index for future, (index, _) in mapped.running.items()}
            at_work = {
                address: [numbers[key] for key in keys if key in numbers]
                for address, keys in cluster.at_work().items()
            }
            self._activity.alive(at_work, cluster.dashboard)

    def rest(self) -> None:
        """Give back all workers."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
