"""One of the processes of a training: it joins the others, trains, and says how it ended."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from pydantic import BaseModel, ConfigDict
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from morphoscope.engine import OutOfTimeError, cores
from morphoscope.errors import EngineError, MorphoscopeError
from morphoscope.progress import hushed
from morphoscope.train.checks import device_of
from morphoscope.train.interrupt import Interrupt
from morphoscope.train.meeting import Place, word_of
from morphoscope.train.members import Task, train_members
from morphoscope.train.memory import keep_memory
from morphoscope.train.ring import Joined

__all__ = ["Assignment", "main", "train_rank"]

DONE, LEFT, FAILED, LOST = "done", "left", "failed", "lost"


class Assignment(BaseModel):
    """What one process is told; it can be pickled, and written as JSON.

    Attributes
    ----------
    world, rank
        Number of processes, and which of them this is, from 0.
    local_rank
        Which of those on its machine it is, from 0: it takes the CUDA device of that number.
    threads
        CPU threads it may take; 0: all cores that it has.
    rendezvous
        ``tcp://host:port`` of the `Meeting`, as it is reached from where the process runs.
    timeout_s
        For so long it waits for the others in any step before it takes them for lost. A process
        that ends is noticed at once; this is for one that hangs, or a machine without power.
    quiet
        Whether it says nothing; all but the first are quiet anyway.
    """

    model_config = ConfigDict(frozen=True)

    task: Task
    world: int
    rank: int = 0
    local_rank: int = 0
    threads: int = 0
    rendezvous: str = ""
    timeout_s: float = 300.0
    quiet: bool = False


def train_rank(assignment: Assignment) -> None:
    """Train as one of several processes, until the training ends or is asked to leave.

    Only one can run in a process at a time, since torch joins a process to one group. How it ended
    is told at the meeting as well. Checkpoints are written by the first alone, so that ``out`` need
    only be there for that one; the image store must be there for each.

    Raises
    ------
    EngineError
        The others were lost, or this process has joined a group already.
    MorphoscopeError
        It cannot be trained; see `morphoscope.train.train`.
    """
    if dist.is_initialized():
        raise EngineError(
            "this process takes part in a training already",
            expected="one process of a training in each process of the engine",
            do="give each worker one task at a time",
        )
    place = Place(assignment.rendezvous)
    try:
        signal = _train(assignment, place)
    except BaseException as error:
        how = LOST if isinstance(error, EngineError) else FAILED
        _tell(place, assignment.rank, {"how": how, **word_of(error)})
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    _tell(place, assignment.rank, {"how": LEFT if signal else DONE, "signal": signal})


def _train(assignment: Assignment, place: Place) -> int:
    """Train; the signal that it left after, or 0."""
    task, before = assignment.task, torch.get_num_threads()
    torch.set_num_threads(assignment.threads or cores())
    keep_memory()
    interrupt = Interrupt()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, before)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        if assignment.quiet or assignment.rank:
            stack.enter_context(hushed())
        stack.enter_context(interrupt)
        ring = stack.enter_context(_joined(assignment, place))
        try:
            train_members(task, interrupt, ring=ring)
        except (KeyboardInterrupt, SystemExit, OutOfTimeError):
            if not interrupt.received:
                raise
    return interrupt.received or 0


@contextmanager
def _joined(assignment: Assignment, place: Place) -> Iterator[Joined]:
    backend = "gloo"
    if device_of(assignment.task.settings).type == "cuda":
        torch.cuda.set_device(assignment.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(
            backend,
            store=PrefixStore("group", place.store),
            rank=assignment.rank,
            world_size=assignment.world,
            timeout=timedelta(seconds=assignment.timeout_s),
        )
    except RuntimeError as error:
        raise EngineError(
            f"process {assignment.rank + 1} of {assignment.world} of a training did not find the "
            f"others ({str(error).strip().partition(chr(10))[0]})",
            do="see that the machines reach each other; GLOO_SOCKET_IFNAME names the network",
        ) from error
    yield Joined(place, assignment.rank, assignment.world)


def _tell(place: Place, rank: int, word: dict[str, object]) -> None:
    """Say how it ended, if anybody is there to hear it."""
    try:
        place.tell_ended(rank, word)
    except RuntimeError:
        return


def main() -> None:
    """Train as the assignment on standard input says; exit without Python's clearing up.

    Threads of torch's that wait for a lost process would else be waited for.
    """
    assignment = Assignment.model_validate_json(sys.stdin.read())
    code = 0
    try:
        train_rank(assignment)
    except MorphoscopeError:
        code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)
