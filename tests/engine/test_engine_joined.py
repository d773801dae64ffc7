"""Work on a Dask scheduler that somebody else started, until it is killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import morphoscope
from engine import tasks
from engine.tasks import Errand
from morphoscope.engine import open_engine
from morphoscope.engine.activity import read_activity
from morphoscope.errors import EngineError
from morphoscope.recipe import EngineSettings

TESTS = Path(__file__).parent.parent


@contextmanager
def process(*words: str, log: Path, code: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process of Python, with the package of another folder if one is named."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [code, str(TESTS)]))}
    with log.open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=out, stderr=out, env=environment
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    log = folder / "scheduler.log"
    words = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show")
    with process(*words, "--dashboard-address", "127.0.0.1:0", log=log) as started:
        for _ in range(600):
            if found := re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text()):
                yield started, found[1]
                return
            time.sleep(0.1)
        raise AssertionError(log.read_text())


@contextmanager
def worker(address: str, folder: Path, threads: int = 1, code: str = "") -> Iterator[None]:
    own = ("--nthreads", str(threads), "--no-dashboard")
    words = ("distributed.cli.dask_worker", address, *own)
    with process(*words, log=folder / f"worker{code.replace('/', '-')}.log", code=code):
        yield


def settings(address: str) -> EngineSettings:
    return EngineSettings(kind="address", address=address)


def test_a_scheduler_that_is_killed_is_told_and_the_next_goes_on(tmp_path: Path) -> None:
    errands = [Errand(number, tmp_path) for number in range(20)]
    with scheduler(tmp_path) as (first, address):
        with (
            pytest.raises(EngineError, match="no workers"),
            open_engine(settings(address)) as engine,
        ):
            list(engine.map(tasks.digest, errands))
        with worker(address, tmp_path), open_engine(settings(address), folder=tmp_path) as engine:
            coming = engine.map(tasks.digest, errands)
            found = dict(itertools.islice(coming, 5))
            first.kill()
            began = time.monotonic()
            with pytest.raises(EngineError, match=r"connection to Dask's scheduler.*is broken"):
                found.update(coming)
            assert time.monotonic() - began < 60
    assert 5 <= len(found) < 20
    assert [event["what"] for event in read_activity(tmp_path)][-1] == "failed"
    left = [errand for errand in errands if errand.number not in found]
    with (
        scheduler(tmp_path) as (_, address),
        worker(address, tmp_path),
        open_engine(settings(address)) as engine,
    ):
        results = dict(engine.map(tasks.digest, left))
    found |= {left[index].number: result for index, result in results.items()}
    assert found == {number: tasks.said_of(number) for number in range(20)}


def test_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morphoscope.engine.joined.CONNECT_S", 2)
    for address, said in (("tcp://127.0.0.1:9", "no scheduler"), ("nowhere", "no scheduler")):
        with (
            open_engine(settings(address)) as engine,
            pytest.raises(EngineError, match=f"{said}.*dask scheduler"),
        ):
            list(engine.map(len, ["a"]))


def test_a_worker_that_does_several_tasks_at_once_is_told(tmp_path: Path) -> None:
    with (
        scheduler(tmp_path) as (_, address),
        worker(address, tmp_path, threads=2),
        pytest.raises(EngineError, match=r"does 2 tasks at once; .*--nthreads 1"),
        open_engine(EngineSettings(kind="address", address=address)) as engine,
    ):
        list(engine.map(tasks.digest, [Errand(0, tmp_path)]))


def test_a_worker_of_other_code_that_comes_later_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = Path(morphoscope.__file__).parent
    other = tmp_path / "other" / "morphoscope"
    shutil.copytree(package, other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "errors.py").open("a") as code:
        code.write("# Not what the others have.\n")
    items = [Errand(number, tmp_path) for number in range(60)]
    with (
        scheduler(tmp_path) as (_, address),
        worker(address, tmp_path),
        contextlib.ExitStack() as later,
        open_engine(EngineSettings(kind="address", address=address), folder=tmp_path) as engine,
    ):
        results = engine.map(tasks.digest, items)
        found = dict([next(results)])
        later.enter_context(worker(address, tmp_path, code=str(other.parent)))
        found.update(results)
    assert found == {item.number: tasks.said_of(item.number) for item in items}
    assert "is left out: it runs other code" in capsys.readouterr().err
    done = [event for event in read_activity(tmp_path) if event["what"] == "done"]
    assert len({event["worker"] for event in done}) == 1
