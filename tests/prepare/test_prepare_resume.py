"""Killed and resumed, or short of room: nothing half-made is taken for whole."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from morphoscope.catalog import write_catalogue
from morphoscope.engine import open_engine
from morphoscope.errors import DiskSpaceError
from morphoscope.prepare import open_store, prepare
from morphoscope.prepare.space import SLACK_BYTES, allocate, close_gaps
from morphoscope.prepare.store import npy_header
from morphoscope.recipe import EngineSettings, PrepareSettings

QUICK = PrepareSettings.model_validate({"size": 16})
# So slow that there is time to kill it.
SLOW = PrepareSettings.model_validate({"size": 32, "denoise": "nl_means"})
RUN = """
import sys
from pathlib import Path
from morphoscope.engine import open_engine
from morphoscope.prepare import prepare
from morphoscope.recipe import EngineSettings, PrepareSettings
folder = Path(sys.argv[1])
chosen = PrepareSettings.model_validate({"size": 32, "denoise": "nl_means"})
with open_engine(EngineSettings(kind="inline")) as engine:
    prepare(chosen, catalogue=folder / "in.parquet", out=folder / sys.argv[2], engine=engine)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(9)
    (tmp_path / "images").mkdir()
    files = [tmp_path / "images" / f"{i}.jpg" for i in range(160)]
    for file in files:
        Image.fromarray(random.integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(file)
    files[30].unlink()
    frame = pl.DataFrame({"id_str": [f.stem for f in files], "file_loc": [str(f) for f in files]})
    write_catalogue(tmp_path / "in.parquet", frame, {})
    return tmp_path


def run(folder: Path, out: str, settings: PrepareSettings = QUICK) -> dict[str, object]:
    with open_engine(EngineSettings.model_validate({"kind": "inline"})) as engine:
        return prepare(settings, catalogue=folder / "in.parquet", out=folder / out, engine=engine)


def test_killed_and_resumed_is_as_uninterrupted(folder: Path) -> None:
    whole = run(folder, "whole", SLOW)
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder), "cut"])
    journal = folder / "cut" / "shards.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count("\n") >= 4):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = journal.read_text().splitlines()
    noted = [json.loads(line) for line in lines if line.endswith("}")]
    assert 4 <= len(noted) < 16
    # A torn shard, and a line that was being written.
    torn = noted[1]["start"]
    with (folder / "cut" / "images.npy").open("r+b") as handle:
        handle.seek(len(npy_header((160, 3, 32, 32))) + torn * 3 * 32 * 32 + 5)
        handle.write(b"torn")
    with journal.open("a") as handle:
        handle.write('{"start": 150, "n": 1')
    # Without their files, the shards that are whole can only come from the first run.
    for row in (r for x in noted if x["start"] != torn for r in range(x["start"], x["start"] + 10)):
        (folder / "images" / f"{row}.jpg").unlink(missing_ok=True)
    resumed = run(folder, "cut", SLOW)
    assert {**resumed, "images_per_s": 0} == {**whole, "images_per_s": 0}
    for name in ("images.npy", "catalogue.parquet", "rejects.parquet"):
        assert (folder / "cut" / name).read_bytes() == (folder / "whole" / name).read_bytes()


def test_killed_while_gaps_are_closed(folder: Path) -> None:
    run(folder, "whole")
    run(folder, "cut")
    out = folder / "cut"
    described = json.loads((out / "store.json").read_text())
    described.update(state="writing", shape=[160, 3, 16, 16])
    (out / "store.json").write_text(json.dumps(described))
    # The rows are moved together, and the journal knows them where they were.
    digest = "0" * 64
    line = {"start": 0, "n": 10, "sha256": digest, "rejects": {}, "sizes": {}}
    (out / "shards.jsonl").write_text(json.dumps(line) + "\n")
    run(folder, "cut")
    assert (out / "images.npy").read_bytes() == (folder / "whole" / "images.npy").read_bytes()


def test_a_journal_of_other_settings_is_not_trusted(folder: Path) -> None:
    run(folder, "out")
    described = json.loads((folder / "out" / "store.json").read_text())
    described.update(state="writing", identity="another")
    (folder / "out" / "store.json").write_text(json.dumps(described))
    (folder / "out" / "shards.jsonl").write_text("not a journal\n")
    assert run(folder, "out")["n"] == 159
    assert len(open_store(folder / "out")) == 159


@pytest.mark.parametrize("n", [9, 10, 99, 100, 1000, 123456])
def test_headers_of_fewer_rows_are_as_long(n: int) -> None:
    assert len(npy_header((n, 3, 64, 64))) == len(npy_header((1, 3, 64, 64)))


def test_gaps_close_over_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morphoscope.prepare.space.MOVED_AT_ONCE_BYTES", 10 * 48)
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 4, 4), dtype=np.uint8)
    path = tmp_path / "images.npy"
    allocate(path, images.shape)
    with path.open("r+b") as handle:
        handle.seek(len(npy_header(images.shape)))
        handle.write(images.tobytes())
    kept = [row for row in range(100) if row % 7 and row != 50]
    assert close_gaps(path, images.shape, kept) == (len(kept), 3, 4, 4)
    np.testing.assert_array_equal(np.load(path), images[kept])


def test_too_little_room_is_said_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    needed = 160 * 3 * 16 * 16
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, needed + SLACK_BYTES))
    with pytest.raises(DiskSpaceError, match="free some space") as caught:
        run(folder, "out")
    assert caught.value.data["free"] == needed + SLACK_BYTES
    assert int(re.findall(r"need ([\d,]+)", str(caught.value))[0].replace(",", "")) > (
        needed + SLACK_BYTES
    )
    assert not (folder / "out" / "images.npy").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 10**9))
    assert run(folder, "out")["n"] == 159


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_an_error(
    code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DiskSpaceError, match="bytes"):
            run(folder, "out")
    fsync = os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: full() if _is(fd, "images.npy") else fsync(fd))
        with pytest.raises(DiskSpaceError):
            run(folder, "out")
    assert run(folder, "out")["n"] == 159


def test_where_blocks_cannot_be_reserved_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    allocate(tmp_path / "images.npy", (3, 1, 4, 4))
    assert np.load(tmp_path / "images.npy").shape == (3, 1, 4, 4)


def test_a_file_larger_than_the_system_allows(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from morphoscope.errors import DiskSpaceError\n"
        "from morphoscope.prepare.space import allocate\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "allocate(Path(sys.argv[1]), (8, 3, 64, 64))\n"
        "try: allocate(Path(sys.argv[1]), (9, 3, 64, 64))\n"
        "except DiskSpaceError: print('refused')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "images.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def _is(descriptor: int, name: str) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").resolve().name == name
