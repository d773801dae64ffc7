"""What every engine can do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["CORES", "Counted", "Engine", "Item", "Result", "cores"]

CORES = "MORPHOSCOPE_CORES"
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Counted(Generic[Item]):
    """Items that are made as they are wanted, and whose number is known before."""

    items: Iterable[Item]
    number: int

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return self.number


class Engine(Protocol):
    """A place where work runs."""

    @property
    def workers(self) -> int:
        """Number of items that run at once."""

    @property
    def threads(self) -> int:
        """CPU threads that one item may take."""

    @property
    def clustered(self) -> bool:
        """Whether workers may be on other machines."""

    def turn_to(self, stage: str, workers: int = 0) -> None:
        """Work for a stage from now on, with its resources; so many items at once, if it says."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        careful: Callable[[Item], Result] | None = None,
        together: int = 1,
    ) -> Iterator[tuple[int, Result]]:
        """Apply ``function`` to every item and yield ``(index, result)`` as they are ready.

        Parameters
        ----------
        function
            Module-level and pure: it may be run again.
        items
            What it is applied to.
        careful
            Does the same to an item that ended its workers, as one poisoned image can; absent:
            such an item ends the run with an error.
        together
            Workers that must be there for one item, which asks the others itself; only with
            ``clustered``.
        """

    def rest(self) -> None:
        """Give back cores and memory until the next ``map``."""


def cores() -> int:
    """CPU cores that this process may use; a job on a cluster is told how many it asked for."""
    if told := os.environ.get(CORES):
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
