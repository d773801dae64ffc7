"""Work in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from morphoscope.engine.activity import Activity, here
from morphoscope.engine.places import Item, Result, cores

__all__ = ["InlineEngine"]


class InlineEngine:
    """Runs in this process, one item after the other."""

    workers = 1
    clustered = False

    @property
    def threads(self) -> int:
        """CPU threads that one item may take: all."""
        return cores()

    def __init__(self, activity: Activity | None = None) -> None:
        self._activity = activity or Activity(None)

    def turn_to(self, stage: str, workers: int = 0) -> None:
        """Work for a stage from now on."""
        self._activity.stage = stage

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        careful: Callable[[Item], Result] | None = None,
        together: int = 1,
    ) -> Iterator[tuple[int, Result]]:
        """Apply ``function`` to every item, in order."""
        with self._activity.mapping(items):
            for index, item in enumerate(items):
                began = time.time()
                result = function(item)
                self._activity.done(index, here(), began, time.time() - began)
                yield index, result

    def rest(self) -> None:
        """Nothing is held."""
