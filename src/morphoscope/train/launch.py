"""Several processes for one training: started, watched, and started again when one is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

import morphoscope
from morphoscope.engine import cores
from morphoscope.errors import TrainingError
from morphoscope.prepare import open_store
from morphoscope.progress import quiet, say
from morphoscope.train.checks import device_of
from morphoscope.train.interrupt import Interrupt
from morphoscope.train.meeting import Meeting, Word, error_of
from morphoscope.train.members import Task
from morphoscope.train.plan import require_parts
from morphoscope.train.rank import DONE, FAILED, LEFT, Assignment

__all__ = [
    "Launcher",
    "LocalLauncher",
    "Running",
    "end_of",
    "launch",
    "start_process",
    "threads_each",
]

# Starts in a row after which the checkpoint was no further.
RESTARTS = 3
GRACE_S = 5.0
LOOK_EVERY_S = 0.05
LOCALHOST = "127.0.0.1"
CHILD = "from morphoscope.train.rank import main; main()"


class Running(Protocol):
    """One process of a training, at work somewhere."""

    def ended(self) -> str:
        """How it ended, in words, as ``was killed by SIGKILL``; empty while it is at work."""

    def end(self) -> None:
        """End it now, if it is still at work."""


class Launcher(Protocol):
    """A place where the processes of a training run."""

    @property
    def host(self) -> str:
        """Name or address of this machine as those processes reach it."""

    def start(self, assignment: Assignment) -> Running:
        """Have `morphoscope.train.rank.train_rank` run with this assignment.

        ``local_rank``, ``threads`` and ``timeout_s`` are the launcher's to set. All processes of a
        training must come to run at the same time.
        """


@dataclass(frozen=True)
class LocalLauncher:
    """Fresh interpreters on this machine, which share its cores or take a GPU each."""

    timeout_s: float = 300.0
    host: str = LOCALHOST

    def start(self, assignment: Assignment) -> Running:
        own = {
            "local_rank": assignment.rank,
            "threads": threads_each(assignment.task.settings.threads, assignment.world),
            "timeout_s": self.timeout_s,
        }
        # What the processes tell each other stays on this machine.
        network = "lo" if sys.platform == "linux" else ""
        return _Process(start_process(assignment.model_copy(update=own), network))


class _Process:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def ended(self) -> str:
        return end_of(self.process)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def start_process(assignment: Assignment, network: str) -> subprocess.Popen[bytes]:
    """Start a fresh interpreter that does its part of a training.

    Parameters
    ----------
    assignment
        What it is told.
    network
        Name of the interface by which it reaches the others; empty: torch chooses.
    """
    # A session of its own: Ctrl-C is for the process that started it, which asks it to leave.
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=_environment(network),
        start_new_session=True,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as channel:
        channel.write(assignment.model_dump_json().encode())
    return process


def end_of(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words; empty while it is at work."""
    code = process.poll()
    if code is None:
        return ""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def threads_each(threads: int, processes: int) -> int:
    """CPU threads of each of several processes on this machine; ``threads`` 0: all cores."""
    return max(1, (threads or cores()) // processes)


def launch(task: Task, launcher: Launcher, interrupt: Interrupt) -> None:
    """Have several processes train all members to their end.

    When one is lost the others are ended, and all start again from the last checkpoint.

    Raises
    ------
    RecipeError
        A batch has fewer images than there are processes.
    TrainingError
        There are too few GPUs, or processes were lost again and again.
    MorphoscopeError
        A process says that it cannot be trained.
    """
    images = open_store(task.store)
    for group in task.settings.groups:
        require_parts(group, task.balance, images)
    if isinstance(launcher, LocalLauncher):
        _require_devices(task)
    assignment = Assignment(task=task, world=task.settings.processes, quiet=quiet.get())
    furthest, starts = "", 0
    while lost := _attempt(assignment, launcher, interrupt):
        why, saved = lost
        starts = 1 if saved not in ("", furthest) else starts + 1
        furthest = saved or furthest
        if starts > RESTARTS:
            raise TrainingError(
                f"{why}; that was {starts} times without a step forward",
                expected=f"{assignment.world} processes that stay",
                do="see above what the processes said; memory may be short. The same command goes "
                "on from the last checkpoint, also with another train.processes",
            )
        say(f"{why}; starting again from the last checkpoint ({starts} of {RESTARTS})")


def _attempt(
    assignment: Assignment, launcher: Launcher, interrupt: Interrupt
) -> tuple[str, str] | None:
    """Run all once; if one was lost why, and how far the checkpoint is."""
    with Meeting(launcher.host, assignment.world) as meeting:
        running: list[Running] = []
        try:
            for rank in range(assignment.world):
                own = {"rank": rank, "rendezvous": meeting.address}
                running.append(launcher.start(assignment.model_copy(update=own)))
            _wait(running, meeting, interrupt)
            ends = [one.ended() for one in running]
        finally:
            for one in running:
                one.end()
        words, saved = meeting.words(), meeting.saved()
    for rank, word in words.items():
        if word["how"] == FAILED:
            raise error_of(word, rank)
    for word in words.values():
        if word["how"] == LEFT:
            interrupt.received = word["signal"]
            interrupt.leave()
    if all(words.get(rank, {}).get("how") == DONE for rank in range(assignment.world)):
        return None
    return _why(ends, words), saved


def _wait(running: Sequence[Running], meeting: Meeting, interrupt: Interrupt) -> None:
    """Until all have ended, or some have otherwise than well and the rest had time to."""
    asked, late = False, float("inf")
    while not all(one.ended() for one in running) and time.monotonic() < late:
        if interrupt.received and not asked:
            meeting.ask_to_leave(interrupt.received)
            asked = True
        if late == float("inf") and _one_is_lost(running, meeting):
            late = time.monotonic() + GRACE_S
        time.sleep(LOOK_EVERY_S)


def _one_is_lost(running: Sequence[Running], meeting: Meeting) -> bool:
    if not any(one.ended() for one in running):
        return False
    words = meeting.words()
    well = {rank for rank, word in words.items() if word["how"] in (DONE, LEFT)}
    return any(one.ended() and rank not in well for rank, one in enumerate(running))


def _why(ends: Sequence[str], words: dict[int, Word]) -> str:
    """Which process was lost: first those that ended without a word."""
    for rank, end in enumerate(ends):
        if end and rank not in words:
            return f"process {rank + 1} of {len(ends)} of the training {end}"
    for rank, end in enumerate(ends):
        if not end and rank not in words:
            return f"process {rank + 1} of {len(ends)} of the training does not answer"
    return next((str(word["found"]) for word in words.values() if "found" in word), "")


def _require_devices(task: Task) -> None:
    settings = task.settings
    if device_of(settings).type == "cuda" and torch.cuda.device_count() < settings.processes:
        raise TrainingError(
            f"train.processes is {settings.processes} and torch finds "
            f"{torch.cuda.device_count()} CUDA devices here",
            expected="a CUDA device for each process",
            do="lower train.processes, or set train.device to 'cpu'",
        )


def _environment(network: str) -> dict[str, str]:
    """Where the package lies, and which network the processes use."""
    places = [str(Path(morphoscope.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    if network:
        own |= {"GLOO_SOCKET_IFNAME": network, "NCCL_SOCKET_IFNAME": network}
    # A lost process is told of in words; torch adds a trace of its own.
    return {"TORCH_CPP_LOG_LEVEL": "ERROR", **os.environ, **own}
