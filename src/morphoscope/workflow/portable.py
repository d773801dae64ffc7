"""A stage's folder whose content does not tell where the run lay.

Tables name images by their absolute paths. In an archive ``{run}`` stands for the run folder, so
that the same stage has the same digests on every machine; where an archive is unpacked, the paths
are those of the new place. Only tables and records are written anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl

from morphoscope.catalog import atomic_path
from morphoscope.errors import StageError
from morphoscope.provenance import (
    RECORD,
    StageRecord,
    content_digest,
    read_record,
    write_record,
)

__all__ = ["make_local", "make_portable"]

RUN = "{run}"


def make_portable(folder: Path, run: Path) -> StageRecord:
    """Take the place of the run out of the tables and the record of a stage that is done.

    Raises
    ------
    StageError
        The folder holds no record.
    """
    _replace_in_tables(folder, f"{run.absolute()}/", f"{RUN}/")
    record = read_record(folder)
    if record is None:
        raise StageError(f"{folder} holds no readable {RECORD}", do="run the stage again")
    entries = sorted(p for p in folder.iterdir() if p.name != RECORD and p.name[0] != ".")
    outputs = {entry.name: content_digest([entry]) for entry in entries}
    told = json.dumps(asdict(record)["summary"]).replace(f"{run.absolute()}/", f"{RUN}/")
    record = replace(record, outputs=outputs, summary=json.loads(told))
    write_record(folder, record)
    return record


def make_local(folder: Path, run: Path) -> None:
    """Put the place of the run into the tables of an unpacked stage; its record stays."""
    _replace_in_tables(folder, f"{RUN}/", f"{run.absolute()}/")


def _replace_in_tables(folder: Path, old: str, new: str) -> None:
    for path in sorted(folder.rglob("*.parquet")):
        frame = pl.read_parquet(path)
        texts = [name for name, kind in frame.schema.items() if kind == pl.String]
        named = frame.select(pl.col(texts).str.contains(old, literal=True).any())
        columns = [name for name in texts if named[name].any()]
        if not columns:
            continue
        # What polars itself adds to the metadata it adds again.
        stored = pl.read_parquet_metadata(path)
        metadata = {key: text for key, text in stored.items() if key != "ARROW:schema"}
        frame = frame.with_columns(pl.col(columns).str.replace_all(old, new, literal=True))
        with atomic_path(path) as temporary:
            frame.write_parquet(temporary, metadata=metadata or None)
