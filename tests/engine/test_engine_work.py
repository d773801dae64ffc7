"""What is a worker's own fault is told apart from a task's; one bad thing among many is found."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from morphoscope.engine import open_engine
from morphoscope.engine.crash import CRASHED, surviving
from morphoscope.engine.work import DEADLINE, Tried, attempt, exclusive
from morphoscope.errors import DiskSpaceError, EngineError, ImageError
from morphoscope.recipe import EngineSettings


def fill(path: Path) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
    except OSError as error:
        raise DiskSpaceError("no room") from error


def spoil(path: Path) -> None:
    raise ImageError(f"{path} is damaged", reason="damaged")


def take_away(path: Path) -> str:
    """Work while the folder goes away, the first time."""
    found = sorted(entry.name for entry in path.iterdir())
    if found == ["a"]:
        (path / "a").rename(path.parent / "a")
        threading.Timer(1.5, lambda: (path.parent / "a").rename(path / "b")).start()
    return "".join(found)


def test_a_full_disk_is_the_workers_trouble(tmp_path: Path) -> None:
    done = attempt(fill, tmp_path, Tried())
    assert done.trouble == "DiskSpaceError: no room"
    assert isinstance(done.error, DiskSpaceError)


def test_what_the_task_raises_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="damaged"):
        attempt(spoil, tmp_path, Tried())


def test_what_was_read_while_a_folder_went_away_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "a").touch()
    assert attempt(take_away, folder, Tried((folder,), away_s=20)).result == "b"


def go_and_come(path: Path) -> str:
    """Look for a file while the folder is away for a moment, the first time."""
    mark = path.parent / "was away"
    if mark.exists():
        return "seen" if (path / "a").exists() else "missing"
    mark.touch()
    (path / "a").rename(path.parent / "a")
    time.sleep(1.6)
    found = "seen" if (path / "a").exists() else "missing"
    (path.parent / "a").rename(path / "a")
    return found


def test_what_was_missing_while_a_folder_was_away_is_looked_for_again(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "a").touch()
    assert attempt(go_and_come, folder, Tried((folder,), away_s=20)).result == "seen"


def tell_a_timeout(number: int) -> int:
    raise TimeoutError("of the task itself")


def test_a_tasks_own_timeout_is_no_lost_result() -> None:
    with (
        open_engine(EngineSettings(kind="local", workers=2)) as engine,
        pytest.raises(TimeoutError, match="of the task itself"),
    ):
        list(engine.map(tell_a_timeout, [1]))


def take_much(number: int) -> int:
    if number == 2:
        raise MemoryError
    return number


def test_one_that_takes_too_much_memory_is_found() -> None:
    assert surviving(take_much, [1, 2]) == [1, CRASHED]


def test_a_process_that_cannot_begin_is_no_fault_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONMALLOC", "nonsense")
    with pytest.raises(EngineError, match="no process of its own can be started"):
        surviving(take_much, [1])


def test_a_folder_that_stays_away_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    for watched in (folder, tmp_path / "none"):
        assert attempt(len, "abc", Tried((watched,), 0.0)).trouble == f"{watched} is away"


def test_after_its_deadline_a_worker_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEADLINE, str(time.time() + 60))
    assert attempt(len, "abc", Tried()).result == 3


def test_only_one_has_the_lock(tmp_path: Path) -> None:
    seen = []

    def wait() -> None:
        with exclusive(tmp_path / "lock"):
            seen.append("second")

    with exclusive(tmp_path / "lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        seen.append("first")
    thread.join()
    assert seen == ["first", "second"]


def crash(number: int) -> int:
    if number == 3:
        os.abort()
    return number * number


def stand_still(number: int) -> int:
    if number == 2:
        time.sleep(3600)
    return number


def refuse(number: int) -> int:
    raise ImageError(f"{number}", reason="blank")


def test_the_one_that_crashes_is_found_among_many() -> None:
    found = surviving(crash, range(8))
    assert found == [CRASHED if number == 3 else number**2 for number in range(8)]
    assert surviving(crash, []) == []


def test_the_one_that_hangs_is_found_too() -> None:
    # A busy machine takes seconds to start a process.
    assert surviving(stand_still, [1, 2], limit_s=15) == [1, CRASHED]


def test_its_own_errors_are_raised() -> None:
    with pytest.raises(ImageError, match="7") as caught:
        surviving(refuse, [7])
    assert caught.value.reason == "blank"


def test_what_never_gets_on_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("morphoscope.engine.fanning.MOST_JOBS", 2)
    monkeypatch.setenv(DEADLINE, str(time.time() - 1))
    with (
        open_engine(EngineSettings(kind="local", workers=2)) as engine,
        pytest.raises(EngineError, match="given to 2 jobs, and none had the time"),
    ):
        list(engine.map(len, ["a"]))


def test_what_another_process_has_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(EngineError, match=r"another process has had .*lock for 0.1 s"),
        exclusive(tmp_path / "lock", 0.1),
    ):
        pass
