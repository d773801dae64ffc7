"""Kills: of one process of a search, and of the whole of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest

from morphoscope.recipe import Recipe
from morphoscope.recipe.written import write_recipe
from morphoscope.search import search, trial
from morphoscope.search.space import open_space
from morphoscope.search.storage import JournalLock, open_storage
from morphoscope.search.study import add_trials, open_study
from morphoscope.search.trial import Task, run_trial
from morphoscope.train import loop

Make = Callable[..., Recipe]
Begin = Callable[[Recipe, Path], "subprocess.Popen[bytes]"]
PATIENCE_S = 120


def trials(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "search" / "trials.parquet").drop("seconds")


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begin a search in a process of its own, which ends with the test."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(recipe: Recipe, run: Path) -> subprocess.Popen[bytes]:
        path = run.with_name("recipe.toml")
        path.write_text(write_recipe(recipe))
        command = [sys.executable, "-m", "morphoscope", "search", str(path), "--out", str(run)]
        quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        begun.append(subprocess.Popen(command, **quiet))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


def epochs_told(run: Path) -> list[int]:
    """Epochs of each trial that the journal knows of, finished ones as -1."""
    path, known = run / "search/journal.log", {}
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        entry = json.loads(line) if line.endswith("\n") else {}
        if "scores" in entry.get("user_attr", {}):
            known[entry["trial_id"]] = len(entry["user_attr"]["scores"])
        if entry.get("state") in (1, 2, 3):
            known[entry["trial_id"]] = -1
    return [known[number] for number in sorted(known)]


def wait_until(ready: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not ready():
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.01)


def workers_of(process: int) -> list[psutil.Process]:
    children = psutil.Process(process).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def memory_of_images(workers: list[psutil.Process], path: Path) -> tuple[int, int, int]:
    """Bytes that the workers share the file's pages by (PSS), that they map, and of the file."""
    maps = [one for worker in workers for one in worker.memory_maps() if one.path == str(path)]
    return sum(one.pss for one in maps), sum(one.rss for one in maps), path.stat().st_size


def test_a_killed_search_goes_on_where_it_was(
    recipe_of: Make, run: Path, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of({"trials": 4}, train={"epochs": 5})
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    search(recipe, whole)

    process = begin(recipe, run)
    wait_until(lambda: epochs_told(run)[1:] in ([2], [3]))
    process.kill()
    process.wait()
    told = epochs_told(run)
    begun: list[tuple[int, int]] = []
    train_epoch = loop.train_epoch

    def spy(plan: object, state: loop.State, *rest: object) -> None:
        begun.append((int(state.path.parts[-4]), state.at.epoch))
        train_epoch(plan, state, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_epoch", spy)
    search(recipe, run)
    assert begun[0][0] == 1
    assert begun[0][1] in (told[1], told[1] + 1)
    assert trials(run).equals(trials(whole))


@pytest.mark.thorough
def test_a_killed_worker_is_replaced_and_no_trial_is_lost(
    recipe_of: Make, run: Path, begin: Begin
) -> None:
    recipe = recipe_of(
        {"trials": 4, "workers": 2, "strategy": "random", "stopping": "none"},
        engine={"kind": "local"},
        train={"epochs": 6},
    )
    process = begin(recipe, run)
    wait_until(lambda: any(epochs > 1 for epochs in epochs_told(run)))
    workers = workers_of(process.pid)
    assert len(workers) == 2
    workers[0].kill()
    assert process.wait(PATIENCE_S) == 0
    table = trials(run)
    assert table["state"].to_list() == ["complete"] * 4
    assert table["epochs"].to_list() == [6] * 4


@pytest.mark.thorough
def test_two_workers_hold_one_copy_and_end_with_the_search(
    recipe_of: Make, run: Path, begin: Begin
) -> None:
    recipe = recipe_of(
        {"trials": 2, "workers": 2, "strategy": "random", "stopping": "none"},
        engine={"kind": "local"},
        train={"epochs": 500},
    )
    process = begin(recipe, run)
    wait_until(lambda: sum(epochs > 0 for epochs in epochs_told(run)) == 2)
    workers = workers_of(process.pid)
    shares, resident, size = memory_of_images(workers, run / "prepare/images.npy")
    assert resident > 1.2 * size
    # A page is what the end of the file is rounded up to.
    assert shares < size + 2 * 4096

    process.kill()
    process.wait()
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)
    with open_storage(run / "search", "") as storage:
        study = open_study(open_space(recipe), run / "search", storage)
        left = add_trials(open_space(recipe), study)
    assert [one.state.name for one in left] == ["RUNNING", "RUNNING"]


def test_a_trial_that_kills_its_process_is_given_up(
    recipe_of: Make, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of({"trials": 1, "strategy": "random"}, train={"epochs": 1})
    space, folder = open_space(recipe), run / "search"
    with open_storage(folder, "") as storage:
        add_trials(space, open_study(space, folder, storage))
    task = Task(recipe, folder, {}, number=0, threads=1, session="one", leader=0)

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(trial, "_run", die)
    for _ in range(3):
        with pytest.raises(SystemExit):
            run_trial(task)
    ended = run_trial(task)
    assert ended.state.name == "FAIL"
    assert "died 3 times" in ended.user_attrs["reason"]


def test_a_journal_that_was_cut_off_in_a_line_is_mended(recipe_of: Make, run: Path) -> None:
    search(recipe_of({"trials": 1}, train={"epochs": 1}), run)
    journal = run / "search/journal.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"worker')
    search(recipe_of({"trials": 2}, train={"epochs": 1}), run)
    assert trials(run)["state"].to_list() == ["complete"] * 2


def test_a_damaged_journal_is_refused(recipe_of: Make, run: Path) -> None:
    search(recipe_of({"trials": 1}, train={"epochs": 1}), run)
    journal = run / "search/journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"nonsense\n" + b"".join(lines[1:]))
    with pytest.raises(Exception, match=r"journal of trials .* is damaged"):
        search(recipe_of({"trials": 2}, train={"epochs": 1}), run)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    with open_storage(tmp_path, ""):
        pass
    code = (
        "import sys, time; from pathlib import Path\n"
        "from morphoscope.search.storage import JournalLock\n"
        "JournalLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)\n"
    )
    journal = tmp_path / "journal.log"
    holder = subprocess.Popen([sys.executable, "-c", code, str(journal)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    os.kill(holder.pid, signal.SIGKILL)
    began = time.monotonic()
    lock = JournalLock(journal)
    assert lock.acquire()
    lock.release()
    assert time.monotonic() - began < 2
    holder.wait()
    holder.stdout.close()
