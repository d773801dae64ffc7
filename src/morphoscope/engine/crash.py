"""Work on things of which one may end the process that touches it, as a poisoned image can.

Each attempt runs in a process of its own; where that one ends, the things are halved, until the
one that is to blame is alone.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import cloudpickle

from morphoscope.errors import EngineError

__all__ = ["CRASHED", "Crashed", "surviving"]

Part = TypeVar("Part")
Result = TypeVar("Result")
# Longest time of one process, after which it counts as ended (s).
LIMIT_S = 120.0


class Crashed:
    """In place of a result: the process that wanted to make it ended."""


CRASHED: Final = Crashed()


def surviving(
    function: Callable[[Part], Result], parts: Sequence[Part], *, limit_s: float = LIMIT_S
) -> list[Result | Crashed]:
    """Apply a function to each part, in processes that may end.

    Parameters
    ----------
    function
        Module-level. What it raises is raised here.
    parts
        What it is applied to.
    limit_s
        Longest time of one process (s).

    Raises
    ------
    EngineError
        Such a process cannot even begin.

    Returns
    -------
    list
        A result for each part; `CRASHED` for one that ends its process whenever it is tried.
    """
    if not parts:
        return []
    found = _halved(function, list(parts), limit_s)
    if all(isinstance(one, Crashed) for one in found):
        # Not one came through: perhaps no such process can even begin here.
        _, said = _apart(function, [], limit_s)
        if said is not None:
            raise EngineError(
                f"no process of its own can be started for {len(parts)} images ({said})",
                do="see that the memory and the environment of the workers suffice",
            )
    return found


def _halved(
    function: Callable[[Any], Any], parts: list[Any], limit_s: float
) -> list[Any | Crashed]:
    found, _ = _apart(function, parts, limit_s)
    if found is not None:
        return found
    if len(parts) == 1:
        return [CRASHED]
    half = len(parts) // 2
    return [*_halved(function, parts[:half], limit_s), *_halved(function, parts[half:], limit_s)]


def _apart(
    function: Callable[[Any], Any], parts: list[Any], limit_s: float
) -> tuple[list[Any] | None, str | None]:
    """Results of a process of its own; or None, and its last words, where it ended too early."""
    command = [sys.executable, "-c", f"from {__name__} import _work; _work()"]
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        ended = subprocess.run(
            command,
            input=cloudpickle.dumps((function, parts, _memory())),
            capture_output=True,
            timeout=limit_s,
            check=False,
            env=os.environ | {"PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired:
        return None, f"it took longer than {limit_s:g} s"
    if ended.returncode:
        words = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return None, f"exit {ended.returncode}{': ' if words else ''}{''.join(words)}"
    results, error = cloudpickle.loads(ended.stdout)
    if error is not None:
        raise error
    return list(results), None


def _memory() -> int:
    """Bytes that this worker may have; 0 where it has no limit, or this is no worker."""
    from distributed import get_worker

    try:
        return int(get_worker().memory_manager.memory_limit or 0)
    except ValueError:
        return 0


def _work() -> None:
    """What the process of its own does: read from standard input, write to standard output."""
    out = os.dup(1)
    # What a library prints must not get between.
    os.dup2(2, 1)
    function, parts, memory = cloudpickle.loads(sys.stdin.buffer.read())
    if memory:
        # An image that takes more memory than the worker may have ends this process, as it would
        # end the worker, and not the whole job.
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    results, failed = [], None
    try:
        results = [function(part) for part in parts]
    except MemoryError:
        os._exit(1)
    except Exception as error:
        failed = error
    with os.fdopen(out, "wb") as handle:
        handle.write(cloudpickle.dumps((results, failed)))
