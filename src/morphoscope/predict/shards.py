"""Answers on disk: one Parquet part a shard, whole or absent, and their joining at the end."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from morphoscope import __version__
from morphoscope.bundle import Bundle
from morphoscope.catalog import METADATA_KEY, atomic_path, write_table
from morphoscope.errors import StageError
from morphoscope.predict.inputs import Listing

__all__ = ["Shards", "Work", "clear", "read_metadata", "require_own", "tally"]

PARTS = "part-*.parquet"
SUMMARY = "_metadata.json"
GROUP_ROWS = 131_072
# Between the classes of a set: names of classes have commas.
SEPARATOR = "|"
ROUNDING = 1e-6
# In words, what differs where parts are of another work.
OTHER = {"model": "another model", "listing": "other images", "morphoscope": "another version"}


@dataclass(frozen=True)
class Work:
    """What decides the answers: parts of one work belong together."""

    model: str
    listing: str
    morphoscope: str = __version__


@dataclass(frozen=True)
class Shards:
    """The parts of one work in their folder.

    Attributes
    ----------
    folder
        Where the parts lie.
    bundle, listing
        The model and the rows that it is asked about.
    """

    folder: Path
    bundle: Bundle
    listing: Listing

    @property
    def work(self) -> Work:
        """What the parts are made of."""
        return Work(self.bundle.id, self.listing.digest)

    @property
    def metadata(self) -> dict[str, Any]:
        """Describe the model and the time, for the result's metadata."""
        return {
            "model": self.bundle.id,
            "model_name": self.bundle.name,
            "classes": self.bundle.classes,
            "sets": self.bundle.sets,
            "morphoscope": __version__,
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "work": asdict(self.work),
        }

    def path(self, shard: int) -> Path:
        """File of a part."""
        width = max(5, len(str(self.listing.shards - 1)))
        return self.folder / f"part-{shard:0{width}d}.parquet"

    def paths(self) -> list[Path]:
        """Files of all parts, in the order of the rows."""
        return [self.path(shard) for shard in range(self.listing.shards)]

    def missing(self) -> list[int]:
        """Shards that have no part yet.

        Raises
        ------
        StageError
            There are parts of another work.
        """
        expected = set(self.paths())
        for path in self.folder.glob(PARTS):
            work = read_metadata(path).get("work")
            if path not in expected or work != asdict(self.work):
                raise self._other(work)
        return [shard for shard, path in enumerate(self.paths()) if not path.exists()]

    def _other(self, work: dict[str, str] | None) -> StageError:
        ours = asdict(self.work)
        differ = [word for key, word in OTHER.items() if (work or {}).get(key) != ours[key]]
        return StageError(
            f"{self.folder} holds parts of another run ({', '.join(differ)})",
            do="start anew with --force, or name another --out",
        )

    def write(
        self, shard: int, probabilities: NDArray[np.float32], flags: list[str | None]
    ) -> None:
        """Write a part, whole or not at all."""
        rows = self.listing.shard(shard)
        good = np.array([flag is None for flag in flags])
        best = np.where(good, np.nan_to_num(probabilities).argmax(1), 0)
        columns: dict[str, pa.Array] = {
            "id_str": rows["id_str"],
            "file_loc": rows["file_loc"],
            "class": pa.array(np.array(self.bundle.classes, object)[best], pa.string(), mask=~good),
        }
        if self.bundle.sets:
            least = self.bundle.sets["threshold"]
            sets = _sets(np.nan_to_num(probabilities), self.bundle.classes, least)
            columns["set"] = pa.array(sets, pa.string(), mask=~good)
        for index, name in enumerate(self.bundle.classes):
            columns[f"p_{name}"] = pa.array(probabilities[:, index], pa.float32(), mask=~good)
        columns["flag"] = pa.array(flags, pa.string())
        with atomic_path(self.path(shard)) as temporary:
            pq.write_table(_described(pa.table(columns), self.metadata), temporary)

    def join(self, out: Path) -> None:
        """Bring the parts into one file; Parquet part by part, other formats whole."""
        if out.suffix.lower() != ".parquet":
            write_table(out, pl.read_parquet(self.paths()), self.metadata)
            return
        schema = _described(pq.read_schema(self.path(0)).empty_table(), self.metadata).schema
        with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for table in self._groups():
                writer.write_table(table.replace_schema_metadata(schema.metadata))

    def _groups(self) -> Iterator[pa.Table]:
        """Neighbouring parts together: many small row groups make a file slow to open."""
        pending: list[pa.Table] = []
        for path in self.paths():
            with pq.ParquetFile(path) as file:
                pending.append(file.read())
            if sum(len(table) for table in pending) >= GROUP_ROWS:
                yield pa.concat_tables(pending)
                pending = []
        if pending:
            yield pa.concat_tables(pending)

    def describe(self) -> None:
        """Write the metadata beside parts that stay."""
        with atomic_path(self.folder / SUMMARY) as temporary:
            values = {**self.metadata, "rows": self.listing.rows, "parts": self.listing.shards}
            temporary.write_text(json.dumps(values, indent=1))


def _sets(probabilities: NDArray[np.float32], classes: list[str], threshold: float) -> list[str]:
    """Classes at or above the threshold, and the likeliest always: likeliest first, joined."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    # The threshold is the probability of an image; float32 must not lose it.
    sizes = np.maximum((probabilities >= threshold - ROUNDING).sum(1), 1)
    rows = zip(order, sizes, strict=True)
    return [SEPARATOR.join(classes[index] for index in row[:size]) for row, size in rows]


def _described(table: pa.Table, metadata: dict[str, Any]) -> pa.Table:
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata)})


def read_metadata(path: Path) -> dict[str, Any]:
    """Metadata of a Parquet file that this package wrote; empty for any other."""
    try:
        stored = pq.read_schema(path).metadata or {}
        return dict(json.loads(stored.get(METADATA_KEY.encode(), b"{}")))
    except (pa.ArrowException, OSError, ValueError):
        return {}


def require_own(folder: Path) -> None:
    """Raise unless this package wrote all parts that a folder holds: others call theirs so too.

    Raises
    ------
    StageError
        There is a file of someone else's.
    """
    for path in _results(folder):
        if not _is_own(path):
            raise StageError(
                f"{folder} holds {path.name}, which Morphoscope did not write",
                do="name another --out",
            )


def clear(folder: Path) -> None:
    """Remove the parts that this package wrote."""
    for path in filter(_is_own, _results(folder)):
        path.unlink()


def _results(folder: Path) -> list[Path]:
    return sorted([*folder.glob(PARTS), *folder.glob(SUMMARY)])


def _is_own(path: Path) -> bool:
    if path.name != SUMMARY:
        return bool(read_metadata(path).get("work"))
    try:
        return "work" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


def tally(paths: list[Path]) -> dict[str, dict[str, int]]:
    """Count the rows by class, and those without an answer by flag."""
    found = {}
    for column, key in (("class", "classes"), ("flag", "flagged")):
        frame = pl.scan_parquet(paths).group_by(column).len().drop_nulls().collect()
        found[key] = dict(sorted(frame.iter_rows()))
    return found
