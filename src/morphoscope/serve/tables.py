"""Tables that people bring, read in a process of its own, which cannot do much.

Some kilobytes of Parquet, FITS or VOTable can stand for more than any memory holds, and a VOTable
may name a file or an address for its reader to fetch. That process has bounds of memory and time,
and reaches nothing.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.catalog import atomic_path, read_table
from morphoscope.errors import CatalogueError, MorphoscopeError, RequestError

__all__ = ["ROWS", "read_apart", "read_rows", "write_rows"]

ROWS = "rows.parquet"
NAMES = {
    "id": ("id", "id_str", "objid", "object_id", "galaxyid", "galaxy_id", "dr7objid"),
    "ra": ("ra", "ra_deg", "raj2000", "_raj2000", "right_ascension"),
    "dec": ("dec", "dec_deg", "dej2000", "decj2000", "_dej2000", "declination"),
    "name": ("name", "object", "galaxy", "pgc"),
    "url": ("url", "image_url", "file", "file_loc"),
}
# Of a name, an address, an id (bytes).
LONGEST = 2000
# A million positions took 0.21 GB from CSV and 0.26 GB from FITS, with all that is loaded.
MEMORY_BYTES = 2_000_000_000
DISK_BYTES = 1_000_000_000
SECONDS = 60
ONE_CORE = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# What Python tells of before it fetches something.
FETCHES = ("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen")


def read_rows(path: Path, most: int) -> pl.DataFrame:
    """Rows to ask about, of a table that a person brought.

    Parameters
    ----------
    path
        CSV, Parquet, FITS, VOTable or ECSV.
    most
        Most rows.

    Returns
    -------
    polars.DataFrame
        Columns ``id``, ``ra``, ``dec`` (deg, ICRS), ``name`` and ``url``, null where not given.

    Raises
    ------
    CatalogueError
        It cannot be read.
    RequestError
        It has no rows or too many, or nothing that says where the galaxies are.
    """
    if path.suffix.lower() == ".parquet":
        _refuse_long(path, most)
    table = read_table(path, text=_names_of_text(path))
    by_case = {column.lower(): column for column in reversed(table.columns)}
    found = {
        role: next((by_case[name] for name in names if name in by_case), None)
        for role, names in NAMES.items()
    }
    if not (found["name"] or found["url"] or (found["ra"] and found["dec"])):
        raise RequestError(
            f"the table has the columns {', '.join(table.columns[:12])}",
            expected="ra and dec (deg, ICRS), name, or url",
            do="name its columns so",
        )
    if not 0 < len(table) <= most:
        raise RequestError(f"the table has {len(table):,} rows", expected=f"1 to {most:,}")
    kinds = {"id": pl.String, "ra": pl.Float64, "dec": pl.Float64}
    columns = [
        (pl.col(column) if column else pl.lit(None))
        .cast(kinds.get(role, pl.String), strict=False)
        .alias(role)
        for role, column in found.items()
    ]
    rows = table.select(columns)
    for role, column in found.items():
        if rows[role].dtype == pl.String and (rows[role].str.len_bytes() > LONGEST).any():
            raise RequestError(
                f"a value of {column!r} is too long", expected=f"at most {LONGEST:,} bytes"
            )
    return rows


def _names_of_text(path: Path) -> list[str]:
    """Columns of a CSV that stay text, so that leading zeros do; as its header writes them."""
    with path.open("rb") as handle:
        header = handle.readline(1 << 20).decode("utf-8", "replace")
    written = next(csv.reader([header]), [])
    wanted = {*NAMES["id"], *NAMES["name"], *NAMES["url"]}
    return [name for name in written if name.strip().lstrip("\ufeff").strip('"').lower() in wanted]


def _refuse_long(path: Path, most: int) -> None:
    """Refuse a Parquet file by what its end says, before its columns fill the memory."""
    try:
        rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except Exception as error:
        raise CatalogueError(f"{path} cannot be read as a table ({error})") from error
    if rows > most:
        raise RequestError(f"the table has {rows:,} rows", expected=f"1 to {most:,}")


def write_rows(rows: pl.DataFrame, folder: Path) -> None:
    """Put the rows of a job into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / ROWS) as partial:
        rows.write_parquet(partial)


def read_apart(path: Path, folder: Path, most: int) -> int:
    """Read a person's table into the rows of a job; how many there are.

    Parameters
    ----------
    path
        The table.
    folder
        That of the job; nothing is left there where the table is bad.
    most
        Most rows.

    Raises
    ------
    CatalogueError, RequestError
        As `read_rows`, or it takes too much to read.
    """
    # By its file and not by its name: the whole server would be loaded beside it.
    command = [sys.executable, "-P", __file__, str(path), str(folder), str(most)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_CORE},
            timeout=SECONDS,
            check=False,
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise CatalogueError(
            "the table takes too much memory or time to read",
            do="save it again with only the columns that are needed, as Parquet or CSV",
        ) from error
    if "n" not in told:
        shutil.rmtree(folder, ignore_errors=True)
        raise _error(told)
    return int(told["n"])


def _error(told: dict[str, Any]) -> MorphoscopeError:
    kind = RequestError if told.pop("request") else CatalogueError
    return kind(told.pop("found"), **told)


def _bounded() -> None:
    """Bound this process: memory, time, files, and no way out."""
    try:
        import resource
    except ImportError:
        # Windows has no such bounds; those of time and reach remain.
        pass
    else:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_refuse)


def _refuse(event: str, details: tuple[Any, ...]) -> None:
    if event in FETCHES:
        raise CatalogueError("the table names something outside of itself", do="put it in")


def _told(error: MorphoscopeError, path: Path) -> dict[str, Any]:
    # People know nothing of the name that the file has here.
    found = error.found.replace(str(path), "the table")[:500]
    request = isinstance(error, RequestError)
    return {"request": request, "found": found, "expected": error.expected, "do": error.do}


def main(path: Path, folder: Path, most: int) -> dict[str, Any]:
    """Read and write; what is to be told."""
    try:
        rows = read_rows(path, most)
        write_rows(rows, folder)
    except MorphoscopeError as error:
        return _told(error, path)
    return {"n": len(rows)}


if __name__ == "__main__":
    _bounded()
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
