"""The engine gives the same results wherever work runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from morphoscope.engine import open_engine
from morphoscope.errors import EngineError, ImageError
from morphoscope.recipe import EngineSettings


def square(x: int) -> int:
    return x * x


def fail(x: int) -> int:
    raise ImageError(f"item {x}", reason="blank")


def die_once(path: Path) -> str:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def query_under_ctrl_c(path: Path) -> int:
    die_once(path)
    stop = threading.Event()

    def press() -> None:
        while not stop.wait(0.02):
            os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=press)
    presses.start()
    try:
        for _ in range(50):
            rows = pl.DataFrame({"a": range(20_000)}).lazy().sort("a", descending=True).collect()
    finally:
        stop.set()
        presses.join()
    return rows.height


def die(x: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return x


def die_later_if_negative(x: int) -> int:
    time.sleep(0.3)
    return die(x) if x < 0 else x


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_every_item_comes_back_once(kind: str) -> None:
    with open_engine(EngineSettings(kind=kind, workers=2)) as engine:
        assert dict(engine.map(square, range(57))) == {i: i * i for i in range(57)}
        assert dict(engine.map(square, [])) == {}


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_an_error_comes_back_whole(kind: str) -> None:
    with open_engine(EngineSettings(kind=kind, workers=2)) as engine:
        with pytest.raises(ImageError) as caught:
            list(engine.map(fail, [4]))
        assert caught.value.reason == "blank"


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_at_rest_it_holds_no_process_and_works_again(kind: str) -> None:
    with open_engine(EngineSettings(kind=kind, workers=2)) as engine:
        before = len(psutil.Process().children(recursive=True))
        assert dict(engine.map(square, [2])) == {0: 4}
        engine.rest()
        assert len(psutil.Process().children(recursive=True)) <= before + 1  # resource tracker
        assert dict(engine.map(square, [3])) == {0: 9}


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    paths = [tmp_path / str(i) for i in range(3)]
    for path in paths[1:]:
        path.touch()
    with open_engine(EngineSettings(kind="local", workers=2)) as engine:
        assert sorted(dict(engine.map(die_once, paths)).values()) == ["0", "1", "2"]


def test_ctrl_c_is_not_for_the_workers_nor_for_those_in_their_place(tmp_path: Path) -> None:
    with open_engine(EngineSettings(workers=2)) as engine:
        paths = [tmp_path / "a", tmp_path / "b"]
        assert dict(engine.map(query_under_ctrl_c, paths)) == {0: 20_000, 1: 20_000}


def test_an_item_that_kills_every_worker_is_named() -> None:
    with (
        open_engine(EngineSettings(kind="local", workers=2)) as engine,
        pytest.raises(EngineError, match="item 0 ended every worker"),
    ):
        list(engine.map(die, [1]))


def test_its_neighbours_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # All that was with a worker as it died, and that is much, is a suspect at once.
    monkeypatch.setattr("morphoscope.engine.dask_client.DEATHS", 1)
    monkeypatch.setattr("morphoscope.engine.fanning.AHEAD", 16)
    with (
        open_engine(EngineSettings(kind="local", workers=2)) as engine,
        pytest.raises(EngineError, match="item 3 ended every worker"),
    ):
        list(engine.map(die_later_if_negative, [0, 1, 2, -3, 4, 5, 6, 7]))


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from morphoscope.engine import open_engine\n"
        "from morphoscope.recipe import EngineSettings\n"
        "with open_engine(EngineSettings(workers=2)) as engine:\n"
        "    list(engine.map(str, [1]))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "did not start" in done.stderr
    assert "__main__" in done.stderr.splitlines()[-1]
