"""Tables in partitions: planned from their footers, and the result in partitions of their names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from morphoscope.engine import Engine
from morphoscope.errors import CatalogueError, SourceError, StageError
from morphoscope.streaming import Rows, Task, stream
from morphoscope.streaming.shards import read_metadata

N = 300


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    import cv2

    (tmp_path / "sky").mkdir()
    files = [tmp_path / f"sky/{level}.png" for level in range(5)]
    for level, file in enumerate(files):
        cv2.imwrite(str(file), np.full((4, 4), 40 * level, np.uint8))
    return [f"sky/{i % 5}.png" for i in range(N)]


@pytest.fixture
def table(images: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"objid": range(N), "file": images, "mag": np.linspace(15, 20, N)})


@pytest.fixture
def hive(table: pl.DataFrame, tmp_path: Path) -> Path:
    """Two partitions in Hive's names, the first of many row groups."""
    for year, (start, stop) in {2019: (0, 200), 2020: (200, N)}.items():
        path = tmp_path / f"cat/year={year}/rows.parquet"
        path.parent.mkdir(parents=True)
        table[start:stop].write_parquet(path, row_group_size=30)
    (tmp_path / "cat/_SUCCESS").touch()
    return tmp_path / "cat"


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def test_a_partition_of_the_input_is_one_of_the_result(
    hive: Path, table: pl.DataFrame, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = stream(task, hive, out=out, engine=inline, shard_rows=70, batch=16)
    parts = [f"year=2019/rows/part-0000{i}.parquet" for i in range(4 - 1)]
    assert files_in(out)[:3] == parts
    found = pl.concat([pl.read_parquet(out / name) for name in files_in(out)])
    assert found["id_str"].to_list() == list(map(str, range(N)))
    assert found["level"].to_list() == [40 * (i % 5) for i in range(N)]
    assert done.n == N
    whole = pl.scan_parquet(out / "**/*.parquet", hive_partitioning=True).collect()
    assert dict(whole["year"].value_counts().iter_rows()) == {2019: 200, 2020: 100}
    # In one file the order is the same.
    stream(task, hive, out=tmp_path / "one.parquet", engine=inline)
    assert pl.read_parquet(tmp_path / "one.parquet").equals(found.select(pl.all()))
    assert not list(tmp_path.glob("*.parts"))


def test_each_part_says_what_it_is_of(
    hive: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stream(task, hive, out=out, engine=inline, shard_rows=150)
    told = {name: read_metadata(out / name) for name in files_in(out)}
    assert {name: one["input"]["rows"] for name, one in told.items()} == {
        "year=2019/rows/part-00000.parquet": [0, 64],
        "year=2019/rows/part-00001.parquet": [64, 128],
        "year=2019/rows/part-00002.parquet": [128, 192],
        "year=2019/rows/part-00003.parquet": [192, 200],
        "year=2020/rows/part-00000.parquet": [0, 64],
        "year=2020/rows/part-00001.parquet": [64, 100],
    }
    for name, one in told.items():
        assert one["input"]["partition"] == name.partition("/part")[0]
        assert len(one["input"]["digest"]) == 64
        assert one["work"]["factor"] == "1"
        assert one["morphoscope"]
        assert one["written"].startswith("20")
        assert sum(one["counts"]["sides"].values()) == pq.read_metadata(out / name).num_rows


def test_a_part_made_twice_is_the_same_file(
    hive: Path, task: Task, tmp_path: Path, inline: Engine
) -> None:
    class Twice:
        """An engine whose worker was lost after it had done its work."""

        workers = 1
        threads = 1

        def map(self, function, items, careful):  # type: ignore[no-untyped-def]
            for index, item in enumerate(items):
                first = function(item)
                before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.parquet")}
                assert function(item) == first
                after = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.parquet")}
                assert after == before
                yield index, first

    done = stream(task, hive, out=tmp_path / "out", engine=Twice(), shard_rows=70)  # type: ignore[arg-type]
    assert (done.n, done.noted) == (N, {"seen": N})


def test_only_missing_parts_are_made_again(
    hive: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = stream(task, hive, out=out, engine=inline, shard_rows=70)
    lost = out / files_in(out)[1]
    lost.unlink()
    (lost.parent / f".{lost.name}.elsewhere-7.partial").write_bytes(b"half")
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    again = stream(task, hive, out=out, engine=inline, shard_rows=70)
    assert (again.n, again.kept, again.noted) == (N, N - 64, {"seen": 64})
    assert again.counts == first.counts
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(out.rglob("*.partial"))
    assert not (out / ".plan").exists()


def test_no_row_of_partitions_is_copied_for_the_plan(
    hive: Path, task: Task, tmp_path: Path
) -> None:
    class Looking:
        workers = 1
        threads = 1

        def map(self, function, items, careful):  # type: ignore[no-untyped-def]
            assert list((tmp_path / "out/.plan").iterdir()) == []
            yield from ((index, function(item)) for index, item in enumerate(items))

    assert stream(task, hive, out=tmp_path / "out", engine=Looking()).n == N  # type: ignore[arg-type]


def test_a_changed_or_vanished_partition_is_refused(
    hive: Path, table: pl.DataFrame, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stream(task, hive, out=out, engine=inline)
    path = hive / "year=2020/rows.parquet"
    table[200:N].with_columns(objid=pl.col("objid") + 1).write_parquet(path)
    with pytest.raises(StageError, match="the partition year=2020/rows has changed"):
        stream(task, hive, out=out, engine=inline)
    path.unlink()
    with pytest.raises(StageError, match="partition year=2020/rows is not there any more"):
        stream(task, hive, out=out, engine=inline)
    assert stream(task, hive, out=out, engine=inline, force=True).n == 200
    assert not (out / "year=2020").exists()


@pytest.mark.parametrize("gone", [False, True])
def test_input_that_changes_meanwhile_stops_the_run(
    hive: Path, table: pl.DataFrame, task: Task, tmp_path: Path, gone: bool, inline: Engine
) -> None:
    path = hive / "year=2020/rows.parquet"

    class Meddling:
        workers = 1
        threads = 1

        def map(self, function, items, careful):  # type: ignore[no-untyped-def]
            for index, item in enumerate(items):
                if index == 4:
                    path.unlink() if gone else table.write_parquet(path)
                yield index, function(item)

    match = "cannot be read" if gone else "has changed since the run began"
    out = tmp_path / "out"
    with pytest.raises(SourceError, match=match):
        stream(task, hive, out=out, engine=Meddling(), batch=16)  # type: ignore[arg-type]
    assert len(files_in(out)) == 4
    # Nothing was made of that partition: what was made is of the input as it is now.
    table[200:N].with_columns(objid=pl.col("objid") + 1000).write_parquet(path)
    done = stream(task, hive, out=out, engine=inline)
    assert (done.n, done.kept) == (N, 200)
    found = pl.concat([pl.read_parquet(out / name) for name in files_in(out)])
    assert found["id_str"].to_list() == [str(i if i < 200 else i + 1000) for i in range(N)]


def test_a_partition_that_is_added_is_the_only_one_to_be_done(
    hive: Path, table: pl.DataFrame, task: Task, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stream(task, hive, out=out, engine=inline, shard_rows=64)
    (hive / "year=2018").mkdir()
    table[:10].write_parquet(hive / "year=2018/rows.parquet")
    done = stream(task, hive, out=out, engine=inline, shard_rows=64)
    assert (done.n, done.kept) == (N + 10, N)
    assert files_in(out)[0] == "year=2018/rows.parquet"


def test_a_damaged_partition_is_told_by_its_name(
    hive: Path, task: Task, inline: Engine, tmp_path: Path
) -> None:
    (hive / "year=2020/rows.parquet").write_bytes(b"PAR1 PAR1")
    with pytest.raises(CatalogueError, match=r"year=2020/rows.parquet cannot be read as a table"):
        stream(task, hive, out=tmp_path / "out", engine=inline)


def test_a_result_inside_its_input_is_refused(hive: Path, task: Task, inline: Engine) -> None:
    before = files_in(hive)
    with pytest.raises(StageError, match="outside of it"):
        stream(task, hive, out=hive / "predictions", engine=inline)
    assert files_in(hive) == before


def test_names_that_would_meet_are_refused(
    table: pl.DataFrame, task: Task, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "cat/a").mkdir(parents=True)
    table.write_parquet(tmp_path / "cat/a.parquet")
    table[:3].write_parquet(tmp_path / "cat/a/part-00000.parquet")
    with pytest.raises(SourceError, match="different names"):
        stream(task, tmp_path / "cat", out=tmp_path / "out", engine=inline, shard_rows=100)


def test_files_of_a_pattern_are_partitions(
    hive: Path, task: Task, inline: Engine, tmp_path: Path, images: list[str]
) -> None:
    (hive / "year=2019/sky").symlink_to(tmp_path / "sky")
    (hive / "year=2020/sky").symlink_to(tmp_path / "sky")
    out = tmp_path / "out"
    done = stream(task, f"{hive}/year=*/*.parquet", out=out, engine=inline, shard_rows=10_000)
    assert done.n == N
    assert not done.counts["flagged"]
    assert files_in(out)[0] == "year=2019/rows/part-00000.parquet"


def test_many_partitions_on_worker_processes(
    table: pl.DataFrame, task: Task, tmp_path: Path
) -> None:
    from morphoscope.engine import open_engine
    from morphoscope.recipe import EngineSettings

    (tmp_path / "cat").mkdir()
    for i in range(20):
        table[15 * i : 15 * i + 15].write_parquet(tmp_path / f"cat/p{i:02d}.parquet")
    settings = EngineSettings.model_validate({"kind": "local", "workers": 2})
    with open_engine(settings) as engine:
        done = stream(task, tmp_path / "cat", out=tmp_path / "out", engine=engine)
    assert done.n == N
    assert done.counts["sides"] == {"dark": 180, "light": 120}
    assert files_in(tmp_path / "out") == [f"p{i:02d}.parquet" for i in range(20)]
    ids = [pl.read_parquet(tmp_path / "out" / one)["id_str"] for one in files_in(tmp_path / "out")]
    assert pl.concat(ids).to_list() == list(map(str, range(N)))


def deadly(files: tuple[str | None, ...]) -> Rows:
    """End the process at one image, as a decoder may."""
    if any(file and file.endswith("2.png") for file in files):
        os._exit(1)
    values = pa.array([None if file is None else 1 for file in files], pa.int8())
    return Rows({"n": values}, [None] * len(files))


def test_an_image_that_ends_the_process_has_a_row(images: list[str], tmp_path: Path) -> None:
    class Lost:
        """An engine whose workers all ended at the first try."""

        workers = 1
        threads = 1

        def map(self, function, items, careful):  # type: ignore[no-untyped-def]
            yield from ((index, careful(item)) for index, item in enumerate(items))

    pl.DataFrame({"file": [images[2], *images[:2]]}).write_csv(tmp_path / "t.csv")
    out = tmp_path / "o.parquet"
    task = Task("die", deadly, {})
    done = stream(task, tmp_path / "t.csv", out=out, engine=Lost(), batch=1)  # type: ignore[arg-type]
    found = pl.read_parquet(out)
    assert found["flag"].to_list() == ["crash", None, None]
    assert found["n"].to_list() == [None, 1, 1]
    assert done.counts == {"flagged": {"crash": 1}}
