"""Images in memory: one copy for all processes, the same bytes as a file, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from distributed import LocalCluster
from PIL import Image

from morphoscope.catalog import write_catalogue
from morphoscope.engine import areas, open_engine
from morphoscope.engine.activity import read_activity
from morphoscope.errors import DiskSpaceError, EngineError, StoreError
from morphoscope.prepare import open_store, prepare, spread
from morphoscope.prepare.again import make_again
from morphoscope.prepare.in_memory import declared, give_back, is_in_memory
from morphoscope.prepare.shards import plan
from morphoscope.prepare.spread import Gathering, gather_whole, keep_shard
from morphoscope.prepare.store import read_description
from morphoscope.provenance import content_digest, file_digest
from morphoscope.recipe import EngineSettings, PrepareSettings

# Of this process alone: what is left there is freed by any other one that comes along.
MEMORY = Path(f"/dev/shm/tests-{os.getpid()}")
SETTINGS = PrepareSettings.model_validate({"size": 16})
pytestmark = pytest.mark.skipif(not MEMORY.parent.is_dir(), reason="there is no /dev/shm")


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    MEMORY.mkdir()
    yield
    shutil.rmtree(MEMORY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(9)
    files = [tmp_path / f"{i}.jpg" for i in range(80)]
    for file in files:
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file)
    files[30].unlink()
    frame = pl.DataFrame({"id_str": [f.stem for f in files], "file_loc": [str(f) for f in files]})
    write_catalogue(tmp_path / "in.parquet", frame, {})
    return tmp_path


def made(folder: Path, out: str, memory: Path | None = MEMORY, kind: str = "inline") -> Path:
    engine_settings = EngineSettings.model_validate({"kind": kind, "workers": 2})
    with open_engine(engine_settings) as engine:
        prepare(
            SETTINGS,
            catalogue=folder / "in.parquet",
            out=folder / out,
            engine=engine,
            memory=memory,
        )
    return folder / out


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_it_is_the_store_that_files_make(folder: Path, kind: str) -> None:
    files, memory = made(folder, "files", None), made(folder, "memory", kind=kind)
    place = (memory / "images.npy").readlink()
    assert place.is_relative_to(MEMORY)
    assert content_digest([memory / "images.npy"]) == content_digest([files / "images.npy"])
    assert np.array_equal(open_store(memory).images, open_store(files).images)
    give_back(memory)
    assert not place.parent.exists()
    # What is declared stands for the content, until somebody wants to see it.
    assert declared(memory / "images.npy") == content_digest([files / "images.npy"])
    assert declared(files / "images.npy") is None


def test_what_is_gone_is_made_again(folder: Path) -> None:
    store = made(folder, "memory")
    before = open_store(store).images.copy()
    give_back(store)
    assert np.array_equal(open_store(store).images, before)
    give_back(store)


def test_what_is_damaged_is_found_and_made_again(folder: Path) -> None:
    store = made(folder, "memory")
    before = open_store(store).images.copy()
    with (store / "images.npy").open("r+b") as handle:
        handle.seek(1000)
        handle.write(b"struck by a cosmic ray")
    assert np.array_equal(open_store(store).images, before)
    give_back(store)


def test_all_processes_make_again_what_is_gone(folder: Path, tmp_path: Path) -> None:
    store = made(folder, "memory")
    before = open_store(store).images.copy()
    give_back(store)
    with open_engine(EngineSettings(workers=2), folder=tmp_path) as engine:
        make_again(store, engine)
        # Now they are there.
        make_again(store, engine)
    assert len([event for event in read_activity(tmp_path) if event["what"] == "done"]) == 16
    assert file_digest(store / "images.npy") == read_description(store)["sha256"]
    assert np.array_equal(open_store(store).images, before)
    give_back(store)


@pytest.mark.parametrize("kind", ["inline", "address"])
def test_images_that_changed_meanwhile_are_told_by_all_processes(
    folder: Path, workers: str, kind: str
) -> None:
    store = made(folder, "memory")
    give_back(store)
    shutil.copy(folder / "4.jpg", folder / "5.jpg")
    address = workers if kind == "address" else ""
    with open_engine(EngineSettings.model_validate({"kind": kind, "address": address})) as engine:
        with pytest.raises(StoreError, match=r"made again, are others than were prepared"):
            make_again(store, engine)
        (folder / "5.jpg").unlink()
        with pytest.raises(StoreError, match=r"cannot be made again .*bring the image file back"):
            make_again(store, engine)
        # Images in files are no matter of this.
        files = made(folder, "files", None)
        (files / "images.npy").unlink()
        make_again(files, engine)
        assert not (files / "images.npy").exists()
    give_back(store)


def test_images_that_changed_meanwhile_are_told(folder: Path) -> None:
    store = made(folder, "memory")
    give_back(store)
    shutil.copy(folder / "4.jpg", folder / "5.jpg")
    with pytest.raises(StoreError, match=r"made again, are others than were prepared; expected"):
        open_store(store)
    (folder / "5.jpg").unlink()
    with pytest.raises(StoreError, match=r"cannot be made again .*bring the image file back"):
        open_store(store)
    give_back(store)


def test_files_take_the_place_of_memory_and_back(folder: Path) -> None:
    store = made(folder, "memory")
    place = (store / "images.npy").readlink()
    digest = file_digest(store / "images.npy")
    made(folder, "memory", None)
    assert not (store / "images.npy").is_symlink()
    assert not place.exists()
    assert file_digest(store / "images.npy") == digest
    (store / "store.json").unlink()
    made(folder, "memory")
    assert is_in_memory(store / "images.npy")
    assert file_digest(store / "images.npy") == digest
    give_back(store)


def test_a_run_that_was_moved_away_and_its_successor_do_not_disturb_each_other(
    folder: Path,
) -> None:
    made(folder, "memory")
    (folder / "memory").rename(folder / "former")
    before = open_store(folder / "former").images.copy()
    shutil.copy(folder / "4.jpg", folder / "5.jpg")
    made(folder, "memory")
    assert np.array_equal(open_store(folder / "former").images, before)
    assert not np.array_equal(open_store(folder / "memory").images, before)
    for name in ("former", "memory"):
        give_back(folder / name)


def opening(store: Path, opened: object, done: object) -> None:
    open_store(store)
    opened.set()  # type: ignore[attr-defined]
    done.wait()  # type: ignore[attr-defined]


def test_the_last_of_several_processes_frees_it(folder: Path) -> None:
    store = made(folder, "memory")
    area = (store / "images.npy").readlink().parent
    context = multiprocessing.get_context("spawn")
    opened, done = context.Event(), context.Event()
    other = context.Process(target=opening, args=(store, opened, done))
    other.start()
    assert opened.wait(60)
    give_back(store)
    assert (area / "images.npy").exists()
    done.set()
    other.join()
    assert not area.exists()


def test_what_a_killed_process_left_is_cleared_by_the_next(folder: Path) -> None:
    areas_left = [areas.place_of(f"{folder}/{name}", MEMORY) for name in ("one", "two")]
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom morphoscope.engine import areas\n"
        "for name in sys.argv[1:]:\n    areas.claim(Path(name))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, *map(str, areas_left)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert all(area.is_dir() for area in areas_left)
    areas.claim(areas_left[0])
    assert areas_left[0].is_dir()
    assert not areas_left[1].exists()
    areas.release(areas_left[0])
    assert not areas_left[0].exists()


def test_a_folder_on_a_disk_is_no_memory(folder: Path) -> None:
    with pytest.raises(EngineError, match=r"lies on .*expected a folder in memory"):
        made(folder, "memory", folder)
    with pytest.raises(EngineError, match=r"there is no folder .*nowhere"):
        made(folder, "memory", Path("/nowhere"))


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = MEMORY / f"morphoscope-{os.getuid() + 77_000}"
    monkeypatch.setattr(os, "getuid", lambda: int(others.name.partition("-")[2]))
    others.mkdir(mode=0o700)
    try:
        with pytest.raises(EngineError, match="others may write in it"):
            areas.claim(areas.place_of("any", MEMORY))
    finally:
        shutil.rmtree(others)


def test_a_link_of_the_user_is_not_taken_for_memory(folder: Path) -> None:
    store = made(folder, "files", None)
    elsewhere = folder / "elsewhere.npy"
    (store / "images.npy").rename(elsewhere)
    (store / "images.npy").symlink_to(elsewhere)
    assert not is_in_memory(store / "images.npy")
    assert len(open_store(store).images) == 79


@pytest.fixture
def workers() -> Iterator[str]:
    """Address of a scheduler with two workers."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


def test_workers_of_a_cluster_keep_their_parts_until_one_gathers_them(
    folder: Path, workers: str
) -> None:
    files = made(folder, "files", None)
    store = folder / "memory"
    with open_engine(EngineSettings(kind="address", address=workers)) as engine:
        summary = prepare(
            SETTINGS, catalogue=folder / "in.parquet", out=store, engine=engine, memory=MEMORY
        )
        assert summary["n"] == 79
        area = (store / "images.npy").readlink().parent
        assert [path.name for path in area.glob("*.npy")] == ["images.npy"]
        assert file_digest(store / "images.npy") == file_digest(files / "images.npy")
    # Workers of somebody else go on, and still have them when the one that led was killed.
    with open_engine(EngineSettings(kind="address", address=workers), folder=folder) as engine:
        make_again(store, engine)
        assert len([event for event in read_activity(folder) if event["what"] == "done"]) == 1
        give_back(store)
        assert not area.exists()
    # Nothing is held, so that they make it again together.
    with open_engine(EngineSettings(kind="address", address=workers), folder=folder) as engine:
        make_again(store, engine)
        assert file_digest(store / "images.npy") == file_digest(files / "images.npy")
        done = [event for event in read_activity(folder) if event["what"] == "done"]
        assert len(done) > 16
        assert len(open_store(store)) == 79
        give_back(store)
        assert not area.exists()


def test_a_worker_that_wakes_too_late_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = areas.place_of(str(folder), MEMORY)
    files = [str(folder / f"{i}.jpg") for i in range(80)]
    shards = plan(area / "images.npy", (80, 3, 16, 16), files, SETTINGS, look_at_sizes=False)
    kept = [keep_shard(shard) for shard in shards]
    rows = [row for row in range(80) if row != 30]
    closing = spread.close_gaps

    def late(*words: object) -> object:
        done = closing(*words)  # type: ignore[arg-type]
        # One that was given up writes its shard again.
        keep_shard(shards[-1])
        return done

    expected = gather_whole(Gathering(area / "images.npy", shards, kept, rows))
    monkeypatch.setattr(spread, "close_gaps", late)
    assert gather_whole(Gathering(area / "images.npy", shards, kept, rows)) == expected
    assert file_digest(area / "images.npy") == expected
    areas.release(area)


def test_memory_that_is_too_small_is_told_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = areas.place_of(str(folder), MEMORY)
    shape = (10**9, 3, 64, 64)
    (shard, *_) = plan(area / "images.npy", shape, ["a.jpg"], SETTINGS, look_at_sizes=False)
    with pytest.raises(DiskSpaceError, match=r"parts.npy .*need 12,"):
        keep_shard(shard)
    areas.release(area)
