"""Images in memory: one copy for all processes, the same bytes as a file, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from distributed import Client, LocalCluster
from PIL import Image

from morphoscope.catalog import write_catalogue
from morphoscope.engine import areas, open_engine
from morphoscope.errors import EngineError, StoreError
from morphoscope.prepare import open_store, prepare
from morphoscope.prepare.in_memory import declared, give_back, is_in_memory
from morphoscope.provenance import content_digest, file_digest
from morphoscope.recipe import EngineSettings, PrepareSettings

MEMORY = Path("/dev/shm")
SETTINGS = PrepareSettings.model_validate({"size": 16})
pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no /dev/shm")


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
    (store / "store.json").unlink()
    made(folder, "memory", None)
    assert not (store / "images.npy").is_symlink()
    assert file_digest(store / "images.npy") == digest
    (store / "store.json").unlink()
    made(folder, "memory")
    assert (store / "images.npy").readlink() == place
    assert file_digest(store / "images.npy") == digest
    give_back(store)


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


def test_workers_of_a_cluster_keep_their_parts_until_one_gathers_them(folder: Path) -> None:
    files = made(folder, "files", None)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        settings = EngineSettings(kind="address", address=cluster.scheduler_address)
        store = folder / "memory"
        with open_engine(settings) as engine:
            summary = prepare(
                SETTINGS,
                catalogue=folder / "in.parquet",
                out=store,
                engine=engine,
                memory=MEMORY,
            )
        assert summary["n"] == 79
        area = (store / "images.npy").readlink().parent
        assert [path.name for path in area.glob("*.npy")] == ["images.npy"]
        assert file_digest(store / "images.npy") == file_digest(files / "images.npy")
    # Its workers have gone, and nobody else needed it.
    assert not area.exists()
