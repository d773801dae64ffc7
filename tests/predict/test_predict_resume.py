"""A run that is cut off goes on; nothing is done twice, lost, or mixed with another run's."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from morphoscope.bundle import open_bundle
from morphoscope.bundle.opening import content_id
from morphoscope.engine import Engine
from morphoscope.errors import CatalogueError, DiskSpaceError, StageError
from morphoscope.predict import predict
from tiny_run import N

# Its engine kills the process when that many parts are made, or after the last.
KILLED = """
import os, signal, sys
from pathlib import Path
from morphoscope.predict import predict

class Deadly:
    workers = 1
    threads = 1
    def map(self, function, items, careful):
        for index, item in enumerate(items):
            if index == {after}:
                os.kill(os.getpid(), signal.SIGKILL)
            yield index, function(item)
        os.kill(os.getpid(), signal.SIGKILL)

predict({bundle!r}, {images!r}, out=Path({out!r}), engine=Deadly(), shard_rows=8, batch=4)
"""


def run_and_kill(after: int, bundle: Path, images: Path, out: Path) -> None:
    code = KILLED.format(after=after, bundle=str(bundle), images=str(images), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr


def test_killed_twice_and_resumed_is_uninterrupted(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    parts = tmp_path / "p.parquet.parts"
    out = tmp_path / "p.parquet"
    run_and_kill(2, tiny_bundle, galaxies, out)
    first = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.parquet")}
    assert [path.name for path in sorted(first)] == ["part-00000.parquet", "part-00001.parquet"]
    # The second is killed when every part is there and the result is not.
    run_and_kill(1000, tiny_bundle, galaxies, out)
    assert not out.exists()
    assert len(list(parts.glob("part-*.parquet"))) == 8
    assert {path: path.stat().st_mtime_ns for path in first} == first
    # What is left of a part or a result that was being written goes, other files stay.
    for name in ("p.parquet.parts/.part-00001.parquet.1.partial", ".p.parquet.1.partial", ".mine"):
        (tmp_path / name).touch()
    summary = predict(tiny_bundle, galaxies, out=out, engine=inline, shard_rows=8, batch=4)
    assert (summary["n"], summary["kept"]) == (N, N)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine", "p.parquet"]
    whole = tmp_path / "whole.parquet"
    predict(tiny_bundle, galaxies, out=whole, engine=inline, shard_rows=8, batch=4)
    assert_frame_equal(pl.read_parquet(out), pl.read_parquet(whole), abs_tol=1e-6)


def test_a_finished_result_is_kept(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "p.parquet"
    first = predict(tiny_bundle, galaxies, out=out, engine=inline)
    written = out.stat().st_mtime_ns
    again = predict(tiny_bundle, galaxies, out=out, engine=inline)
    assert out.stat().st_mtime_ns == written
    assert again["kept"] == N
    for key in ("n", "classes", "flagged"):
        assert again[key] == first[key]
    predict(tiny_bundle, galaxies, out=out, engine=inline, force=True)
    assert out.stat().st_mtime_ns > written


@pytest.mark.parametrize("name", ["p.parquet", "p.fits", "shards"])
def test_the_result_of_other_images_is_not_overwritten(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    some = f"{galaxies}/galaxy-00*.png"
    predict(tiny_bundle, some, out=out, engine=inline)
    with pytest.raises(StageError, match="--force"):
        predict(tiny_bundle, galaxies, out=out, engine=inline)
    assert not (tmp_path / f"{name}.parts").exists()
    assert predict(tiny_bundle, galaxies, out=out, engine=inline, force=True)["n"] == N


def test_parts_of_another_run_are_not_mixed_in(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    import json

    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    manifest = json.loads((other / "model.json").read_text())
    manifest["name"] = "other"
    manifest["id"] = content_id(manifest)
    (other / "model.json").write_text(json.dumps(manifest))
    out = tmp_path / "p.parquet"
    run_and_kill(2, tiny_bundle, galaxies, out)
    with pytest.raises(StageError, match=r"another run \(another model\)"):
        predict(other, galaxies, out=out, engine=inline, shard_rows=8)
    with pytest.raises(StageError, match=r"another run \(other images\)"):
        predict(tiny_bundle, galaxies, out=out, engine=inline, shard_rows=9)
    summary = predict(other, galaxies, out=out, engine=inline, shard_rows=9, force=True)
    assert summary["kept"] == 0
    assert summary["model"] == open_bundle(other).id
    assert pl.read_parquet(out).height == N


def test_two_processes_do_not_share_a_result(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "shards").mkdir()
    with (tmp_path / "shards/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StageError, match="another process"):
            predict(tiny_bundle, galaxies, out=tmp_path / "shards", engine=inline)


def test_other_files_in_the_folder_stay(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/notes.txt").write_text("mine")
    for force in (False, True):
        predict(tiny_bundle, galaxies, out=tmp_path / "shards", engine=inline, force=force)
        assert (tmp_path / "shards/notes.txt").read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to play a full disk")
@pytest.mark.parametrize("full", ["parts/part-00003.parquet", "p.parquet", "p.csv", "p.ecsv"])
def test_a_full_disk_is_told_and_the_run_goes_on_later(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path, full: str
) -> None:
    out = tmp_path / (full if full.startswith("p.") else "parts")
    target = tmp_path / full
    target.parent.mkdir(exist_ok=True)
    # Where the temporary file will be written, writing finds no room.
    own = f"{platform.node()}-{os.getpid()}"
    temporary = target.with_name(f".{target.name}.{own}.partial")
    temporary.symlink_to("/dev/full")
    with pytest.raises(DiskSpaceError, match="disk is full") as caught:
        predict(tiny_bundle, galaxies, out=out, engine=inline, shard_rows=8)
    assert isinstance(caught.value.__cause__, OSError)
    assert not temporary.is_symlink()
    summary = predict(tiny_bundle, galaxies, out=out, engine=inline, shard_rows=8)
    assert summary["kept"] == (24 if out.name == "parts" else N)
    assert summary["n"] == N
    assert out.exists()


def test_an_output_that_cannot_be_written_is_told(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogueError, match=r"cannot be written.*--out"):
        predict(tiny_bundle, galaxies, out=tmp_path / "file/p.parquet", engine=inline)
