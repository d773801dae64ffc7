"""The processes of a training on several workers of a cluster: started there, watched from one.

The worker that does the stage starts its own share and asks the others directly
(`morphoscope.engine.peers`) to start theirs. What the processes tell each other goes by
torch.distributed over the network that Dask uses, in the clear.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from morphoscope.engine import OutOfTimeError, deadline, peers
from morphoscope.errors import EngineError
from morphoscope.prepare import open_store
from morphoscope.progress import say
from morphoscope.source_code import package_digest
from morphoscope.train.launch import Running, end_of, start_process, threads_each
from morphoscope.train.rank import Assignment

__all__ = ["WorkerLauncher"]

# So often it is asked how a process is.
LOOK_S = 0.5
# So often it is looked whether enough workers have come.
WAIT_S = 1.0
# So long workers that are there may do something else; and so much time a job must have left.
BUSY_S, SHORT_S = 600.0, 30.0
LOST = "is lost with its worker"

_started: dict[str, subprocess.Popen[bytes]] = {}


@dataclass
class WorkerLauncher:
    """Shares processes among this worker and others, in order: the first ones are its own.

    Parameters
    ----------
    workers
        How many workers, this one among them.
    timeout_s
        See `morphoscope.train.rank.Assignment`.
    """

    workers: int
    timeout_s: float = 300.0
    _chosen: list[str] = field(default_factory=list)
    _opened: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Address of this machine in Dask's network."""
        from distributed import get_worker

        return urlsplit(get_worker().address).hostname or ""

    def start(self, assignment: Assignment) -> Running:
        """Have a process run on the worker whose turn it is.

        Raises
        ------
        OutOfTimeError
            The others do not come before this worker's job is near its end.
        EngineError
            They are there, and do something else.
        """
        if assignment.rank == 0:
            self._choose(assignment.task.store)
        shares = [rank * len(self._chosen) // assignment.world for rank in range(assignment.world)]
        turn = shares[assignment.rank]
        own = {
            "local_rank": assignment.rank - shares.index(turn),
            "timeout_s": self.timeout_s,
        }
        name = uuid.uuid4().hex
        text = assignment.model_copy(update=own).model_dump_json()
        address = self._chosen[turn]
        try:
            peers.ask(address, _start, name, text, shares.count(turn))
        except OSError:
            return _Process(address, name, LOST)
        return _Process(address, name)

    def _choose(self, store: Path) -> None:
        """Choose workers that are there, run this code and see the images."""
        from distributed import get_worker

        said, end = False, time.monotonic() + BUSY_S
        while True:
            ready = self._ready(store)
            if len(ready) + 1 >= self.workers:
                self._chosen = [get_worker().address, *ready[: self.workers - 1]]
                return
            if not said:
                say(f"waiting for {self.workers} workers, {len(ready) + 1} of them are ready")
                said = True
            if time.time() >= deadline():
                raise OutOfTimeError("the other workers of a training have not come")
            if len(peers.others()) + 1 < self.workers:
                # They may wait in the queue of a batch system.
                end = time.monotonic() + BUSY_S
            elif time.monotonic() > end:
                raise EngineError(
                    f"{self.workers} workers are there, and {len(ready) + 1} ready for a training "
                    f"after {BUSY_S:g} s",
                    expected="workers that do nothing else, and run the same code",
                    do="let other runs on that scheduler end, or lower engine.stages.train.workers",
                )
            time.sleep(WAIT_S)

    def _ready(self, store: Path) -> list[str]:
        """Other workers that have opened the images, and are not near their time limit."""
        from distributed import get_client

        client = get_client()
        for address in peers.others():
            if address not in self._opened:
                self._opened[address] = client.submit(_opens, store, workers=[address], pure=False)
        here = set(peers.others())
        for address in list(self._opened):
            if address not in here:
                self._opened.pop(address).cancel()
        ready = []
        for address, future in self._opened.items():
            if future.status == "error":
                # What is wrong with the images is so for this worker, too.
                future.result()
            if future.status == "finished" and future.result() == package_digest():
                with suppress(OSError):
                    if peers.ask(address, deadline) > time.time() + SHORT_S:
                        ready.append(address)
        return ready


@dataclass
class _Process:
    """A process on a worker, asked now and then how it is."""

    address: str
    name: str
    _end: str = ""
    _asked: float = 0.0

    def ended(self) -> str:
        now = time.monotonic()
        if not self._end and now - self._asked > LOOK_S:
            self._asked = now
            try:
                self._end = str(peers.ask(self.address, _ended, self.name))
            except OSError:
                self._end = LOST
        return self._end

    def end(self) -> None:
        try:
            peers.ask(self.address, _stop, self.name)
        except OSError:
            # It finds out within a step that nobody leads it.
            return


def _opens(store: Path) -> str:
    """Have images in memory brought to this machine, or find them; what code does so."""
    open_store(store)
    return package_digest()


def _start(name: str, text: str, here: int, dask_worker: Any = None) -> None:
    """Start a process of a training on this worker, one of so many ``here``."""
    assignment = Assignment.model_validate_json(text)
    threads = threads_each(assignment.task.settings.threads, here)
    own = assignment.model_copy(update={"threads": threads})
    _started[name] = start_process(own, _network(dask_worker.address))


def _network(address: str) -> str:
    """Name of the network interface that a worker of this machine is reached by, if it has one."""
    import psutil

    own = urlsplit(address).hostname
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == own for one in addresses):
            return str(name)
    return ""


def _ended(name: str) -> str:
    """How a process ended; empty while it is at work."""
    process = _started.get(name)
    return "is unknown to its worker" if process is None else end_of(process)


def _stop(name: str) -> None:
    process = _started.pop(name, None)
    if process is not None:
        process.kill()
        process.wait()
