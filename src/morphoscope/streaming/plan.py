"""The plan of a run: partitions, how many rows each has, and the parts they are cut into.

A plan grows with the number of partitions and of parts, and never with that of the rows.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from morphoscope.engine import Engine
from morphoscope.errors import SourceError
from morphoscope.progress import progress
from morphoscope.streaming.inputs import nothing_in, sources_of
from morphoscope.streaming.source import Source, Surveyed, digest_of

__all__ = ["Piece", "Plan", "make_plan", "part_rows"]

# Of few rows a part is small, so that all workers have some; of very many it is large, for every
# part costs the driver and the file system the same.
LEAST_ROWS, USUAL_ROWS = 64, 4096
FEWEST_PARTS, MOST_PARTS = 64, 16_384
# From that many partitions on, workers count their rows.
MANY = 16


@dataclass(frozen=True, slots=True)
class Planned:
    """A partition in the plan.

    Attributes
    ----------
    source, known
        The partition, and what its survey found.
    index
        What the survey may have written, see `Source`.
    first
        Number of its first part among all.
    step
        Rows of a part.
    folder
        Whether its parts lie in a folder of its name, even a single one.
    """

    source: Source
    known: Surveyed
    index: Path
    first: int
    step: int
    folder: bool

    @property
    def parts(self) -> int:
        """Number of parts that it is cut into."""
        return -(-self.known.rows // self.step)

    @property
    def label(self) -> str:
        """Name of the partition, for people."""
        return self.source.name or self.source.path

    def file(self, number: int) -> str:
        """Where a part lies, relative to the folder of all."""
        name = self.source.name
        if name and not self.folder:
            return f"{name}.parquet"
        width = max(5, len(str(self.parts - 1)))
        return str(PurePath(name, f"part-{number - self.first:0{width}d}.parquet"))


@dataclass(frozen=True)
class Piece:
    """One part to be made: rows ``start`` … ``stop`` of a partition, into ``file``."""

    planned: Planned
    start: int
    stop: int
    file: str

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """All partitions, in order.

    Attributes
    ----------
    partitions
        Those that have rows.
    rows, parts
        Of all.
    digest
        SHA-256 of what decides the rows and their division into parts.
    notes
        What a person should know, a sentence each.
    """

    partitions: Sequence[Planned]
    rows: int
    parts: int
    digest: str
    notes: tuple[str, ...]

    def piece(self, number: int) -> Piece:
        """One part, by its number."""
        place = bisect_right(self.partitions, number, key=lambda one: one.first) - 1
        planned = self.partitions[place]
        start = (number - planned.first) * planned.step
        stop = min(planned.known.rows, start + planned.step)
        return Piece(planned, start, stop, planned.file(number))

    def files(self) -> Iterator[str]:
        """Where the parts lie, in the order of the rows."""
        for planned in self.partitions:
            yield from map(planned.file, range(planned.first, planned.first + planned.parts))


def part_rows(rows: int, most: int) -> int:
    """Rows of a part, for so many rows in all."""
    fine = min(USUAL_ROWS, -(-rows // FEWEST_PARTS))
    return max(1, min(most, max(LEAST_ROWS, fine, -(-rows // MOST_PARTS))))


def make_plan(
    images: str | Path,
    folder: Path,
    engine: Engine,
    *,
    shard_rows: int,
    id_column: str = "",
    file_column: str = "",
) -> Plan:
    """Count the rows of all partitions and cut them into parts.

    Parameters
    ----------
    images, id_column, file_column
        As for `morphoscope.streaming.stream`.
    folder
        Folder for listings and indices; workers read it.
    engine
        Where many partitions are counted.
    shard_rows
        Most rows of a part.

    Raises
    ------
    SourceError, CatalogueError
        What was named is absent, empty, or cannot be read.
    """
    sources = sources_of(images, id_column, file_column)
    folder.mkdir(exist_ok=True)
    found = _surveyed(sources, folder, engine)
    rows = sum(known.rows for known in found)
    if not rows:
        raise nothing_in(images)
    step = part_rows(rows, shard_rows)
    partitions, parts = _cut(sources, found, folder, step)
    digest = digest_of([(one.source.name, one.known.digest, one.step) for one in partitions])
    notes = tuple(known.note for known in found if known.note)
    return Plan(partitions, rows, parts, digest, notes)


def _surveyed(sources: Sequence[Source], folder: Path, engine: Engine) -> list[Surveyed]:
    work = functools.partial(_survey, folder)
    items = list(enumerate(sources))
    if len(items) < MANY:
        return list(map(work, items))
    found: dict[int, Surveyed] = {}
    with progress("plan", len(items)) as advance:
        for number, known in engine.map(work, items):
            found[number] = known
            advance(1)
    return [found[number] for number in range(len(items))]


def _survey(folder: Path, item: tuple[int, Source]) -> Surveyed:
    number, source = item
    return source.survey(_index(folder, number))


def _index(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


def _cut(
    sources: Sequence[Source], found: Iterable[Surveyed], folder: Path, step: int
) -> tuple[list[Planned], int]:
    """Partitions that have rows, and the number of parts of all."""
    partitions: list[Planned] = []
    first = 0
    steps = [_step(known, step) for known in found]
    # A HATS catalogue has either files for its pixels or folders, never both.
    alike = any(getattr(source, "carried", ()) for source in sources)
    cut = [known.rows > size for known, size in zip(found, steps, strict=True)]
    for number, (source, known) in enumerate(zip(sources, found, strict=True)):
        if not known.rows:
            continue
        in_folder = any(cut) if alike else cut[number]
        index = _index(folder, number)
        planned = Planned(source, known, index, first, steps[number], in_folder)
        partitions.append(planned)
        first += planned.parts
    _require_apart(partitions)
    return partitions, first


def _step(known: Surveyed, step: int) -> int:
    if known.grain == 0:
        return max(1, known.rows)
    return -(-step // known.grain) * known.grain


def _require_apart(partitions: Sequence[Planned]) -> None:
    """Raise where a partition has the name of another's parts."""
    folders = {PurePath(one.source.name) for one in partitions if one.source.name and one.folder}
    for one in partitions:
        if not one.folder and PurePath(one.source.name).parent in folders:
            raise SourceError(
                f"the partition {one.source.name} lies in one of the name "
                f"{PurePath(one.source.name).parent}",
                expected="a file and a folder of different names",
                do="rename one of them",
            )
