"""Any function over image files: streamed, counted, and never mixed with another work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from morphoscope.engine import Engine, open_engine
from morphoscope.errors import EngineError, ImageError, StageError
from morphoscope.recipe import EngineSettings
from morphoscope.streaming import MISSING, Rows, Task, flag_of, stream


def lengths(files: tuple[str | None, ...], *, factor: int) -> Rows:
    """How long the names are."""
    flags = [MISSING if file is None else "a" if file.endswith("a.png") else None for file in files]
    names = [None if file is None else Path(file).name for file in files]
    values = [None if name is None else factor * len(name) for name in names]
    parity = [None if value is None else ("odd", "even")[value % 2 == 0] for value in values]
    columns = {"length": pa.array(values, pa.int32()), "parity": pa.array(parity, pa.string())}
    return Rows(columns, flags, {"seen": len(files), "chunks": 1})


def task(factor: int = 1) -> Task:
    return Task(
        "count",
        partial(lengths, factor=factor),
        {"factor": str(factor)},
        metadata={"purpose": "a test"},
        counted={"parity": "parities"},
    )


@pytest.fixture
def inline() -> Engine:
    with open_engine(EngineSettings(kind="inline")) as engine:
        return engine


@pytest.fixture
def table(tmp_path: Path) -> Path:
    names = [f"{'x' * (i % 5)}a.png" if i % 3 else f"{i}.png" for i in range(22)]
    frame = pl.DataFrame({"id": range(23), "file": [*names, None]})
    frame.write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_rows_stay_in_order_and_sums_are_whole(table: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out.parquet"
    settings = EngineSettings.model_validate({"kind": kind, "workers": 2})
    with open_engine(settings) as engine:
        done = stream(task(), table, out=out, engine=engine, shard_rows=7, batch=3)
    found = pl.read_parquet(out)
    assert found.columns == ["id_str", "file_loc", "length", "parity", "flag"]
    files = pl.read_csv(table)["file"].to_list()
    assert found["length"].to_list() == [None if f is None else len(f) for f in files]
    assert found["flag"][-1] == MISSING
    assert done.n == 23
    assert done.noted == {"seen": 23, "chunks": 3 * 3 + 1}
    even = sum(f is not None and len(f) % 2 == 0 for f in files)
    assert done.counts["parities"] == {"even": even, "odd": 22 - even}
    assert done.counts["flagged"] == {"a": sum(bool(i % 3) for i in range(22)), MISSING: 1}
    assert done.out == out


def test_another_work_is_refused_by_its_name(table: Path, tmp_path: Path, inline: Engine) -> None:
    out = tmp_path / "parts"
    stream(task(1), table, out=out, engine=inline)
    with pytest.raises(StageError, match=r"another run \(another factor\)"):
        stream(task(2), table, out=out, engine=inline)
    again = stream(task(1), table, out=out, engine=inline)
    assert (again.kept, again.noted) == (23, {})
    assert again.counts == stream(task(1), table, out=out, engine=inline, force=True).counts


def test_flags_are_of_images_only() -> None:
    assert flag_of(ImageError("it ends", reason="truncated")) == "truncated"
    assert flag_of(KeyError("surprise")) == "failed"
    with pytest.raises(EngineError):
        flag_of(EngineError("workers are lost"))
