"""What an engine noted comes back as numbers, as a table in the terminal and as a page."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from morphoscope.engine import open_engine
from morphoscope.engine.activity import FILE, Activity, read_activity
from morphoscope.recipe import EngineSettings
from morphoscope.watching import summarize, write_page
from morphoscope.watching.drawing import time_line
from morphoscope.watching.summary import Run

SVG = "{http://www.w3.org/2000/svg}"


def noted(folder: Path) -> Activity:
    """Two stages on two workers: 40 tasks of which one was tried twice, and 3 of 10."""
    activity = Activity(folder)
    activity.stage = "clean"
    with activity.mapping(range(40)):
        for task in range(40):
            activity.done(task, f"n{task % 2}:7", 1000 + task * 0.5, 0.4)
        activity.again(3, "n1:7", "OSError: No space left on device")
    activity.stage = "prepare"
    activity.note("begin", tasks=10)
    for task in range(3):
        activity.done(task, "n0:7", 1030 + 2 * task, 2.0)
    activity.alive({"tcp://n0": [3, 4]}, "http://127.0.0.1:8787/status")
    return activity


def test_numbers_are_those_that_were_noted(tmp_path: Path) -> None:
    noted(tmp_path)
    summary = summarize(read_activity(tmp_path))
    first, second = summary.maps
    assert (first.stage, first.tasks, len(first.done), len(first.again)) == ("clean", 40, 40, 1)
    assert first.ended is not None
    assert first.left_s is None
    assert (second.tasks, second.ended, second.per_s) == (10, None, pytest.approx(0.5))
    assert second.left_s == pytest.approx(14)
    assert summary.workers == {"tcp://n0": [3, 4]}
    stages = summary.by_stage()
    assert (stages["clean"]["workers"], stages["clean"]["again"]) == (2, 1)
    assert stages["clean"]["seconds"] == pytest.approx(16)
    assert stages["prepare"]["median"] == pytest.approx(2)
    assert summary.reasons() == [("OSError: No space left on device", 1)]


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    noted(tmp_path)
    whole = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(whole + '{"time": 1, "what": "do')
    assert len(read_activity(tmp_path)) == len(whole.splitlines())
    assert read_activity(tmp_path / "none") == []


def test_what_failed_is_kept_with_its_reason(tmp_path: Path) -> None:
    with (
        open_engine(EngineSettings(kind="inline"), stage="clean", folder=tmp_path) as engine,
        pytest.raises(ZeroDivisionError),
    ):
        list(engine.map(lambda x: 1 // x, [1, 0]))
    (one,) = summarize(read_activity(tmp_path)).maps
    assert (len(one.done), one.failed) == (
        1,
        "ZeroDivisionError: integer division or modulo by zero",
    )


def test_a_long_run_is_a_small_drawing(tmp_path: Path) -> None:
    activity = Activity(tmp_path)
    activity.stage = "predict"
    with activity.mapping(range(20_000)):
        for task in range(20_000):
            activity.done(task, f"n{task % 4}:1", 0.25 * task, 0.9)
    summary = summarize(read_activity(tmp_path))
    began = time.monotonic()
    drawing = time_line(summary.runs, [], ["predict"])
    assert time.monotonic() - began < 5
    bars = re.findall('class="task stage0"', drawing)
    assert len(bars) == 4
    assert "5000 tasks" in drawing


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    noted(tmp_path)
    assert write_page(tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "43 tasks on 2 workers" in page
    assert "1 × OSError: No space left on device" in page
    assert not re.search(r'(src|href)="(?!#)', page)
    (svg,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    drawn = ElementTree.fromstring(svg)
    (mark,) = drawn.findall("polygon") or drawn.findall(f"{SVG}polygon")
    assert mark[0].text == "task 3 again: OSError: No space left on device"


def test_what_a_file_is_called_does_no_harm(tmp_path: Path) -> None:
    activity = noted(tmp_path)
    activity.again(4, "n1:7", "</title><script>alert(1)</script> [/data/x]")
    write_page(tmp_path, tmp_path / "page.html")
    assert "<script" not in (tmp_path / "page.html").read_text()
    assert "[/data/x]" in status(str(tmp_path), "--watch").stdout


def test_after_a_line_that_was_cut_the_next_is_whole(tmp_path: Path) -> None:
    noted(tmp_path)
    with (tmp_path / FILE).open("a") as handle:
        handle.write('{"time": 1, "wh')
    activity = Activity(tmp_path)
    activity.stage = "train"
    activity.note("begin", tasks=1)
    assert summarize(read_activity(tmp_path)).maps[-1].stage == "train"


def test_many_workers_share_the_lanes_of_their_nodes(tmp_path: Path) -> None:
    runs = [Run("predict", task, f"n{task % 3}:{task}", task, 0.5) for task in range(90)]
    drawing = time_line(runs, [], ["predict"])
    assert drawing.count('class="lane"') == 3


def test_nothing_noted_is_no_page(tmp_path: Path) -> None:
    assert not write_page(tmp_path, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def status(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "morphoscope", "status", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_status_says_what_works_and_what_was_cut_off(tmp_path: Path) -> None:
    noted(tmp_path)
    cut = status(str(tmp_path), "--watch")
    assert "nothing works here now" in cut.stdout
    assert re.search(r"prepare +cut off +3 of 10", cut.stdout)
    assert "task 3 of clean again: OSError: No space left on device" in cut.stdout
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watching = subprocess.Popen(
            [sys.executable, "-m", "morphoscope", "status", str(tmp_path), "--watch"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        # It says all at once; a busy machine takes its time to begin.
        said = ""
        while "14 s" not in said:
            line = watching.stdout.readline()
            assert line, said
            said += line
    said += watching.communicate(timeout=60)[0]
    assert re.search(r"prepare +at work +3 of 10 +0.50/s +14 s", said)
    assert "Dask's own page: http://127.0.0.1:8787/status" in said
    assert "nothing works here now" in said


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    for words in (["--watch"], ["--page", str(tmp_path / "page.html")]):
        told = status(str(tmp_path), *words)
        assert told.returncode == 1
        assert "does not say what" in told.stderr
