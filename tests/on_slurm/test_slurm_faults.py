"""Work on a real Slurm comes back the same whatever dies, fills up, hangs or goes away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from containers import INSIDE, binds, make_root
from engine import tasks
from engine.tasks import Errand
from morphoscope.engine import open_engine
from morphoscope.engine.activity import read_activity
from morphoscope.errors import EngineError
from morphoscope.recipe import EngineSettings
from slurm import Slurm, jobs, jobs_on, said, until, with_pid

# A busy machine takes its time to start jobs.
pytestmark = pytest.mark.timeout(900)

N = 40
TESTS = Path(__file__).parent.parent


def settings(**changes: Any) -> EngineSettings:
    values = {
        "kind": "slurm",
        "workers": 2,
        "memory": "1GB",
        "away_s": 20.0,
        "prologue": [f"export PYTHONPATH={TESTS}"],
    }
    return EngineSettings.model_validate(values | changes)


def errands(folder: Path, n: int = N) -> list[Errand]:
    return [Errand(number, folder) for number in range(n)]


def expected(folder: Path, n: int = N) -> dict[int, str]:
    return {errand.number: tasks.said_of(errand.number) for errand in errands(folder, n)}


def events(folder: Path, what: str) -> list[dict[str, Any]]:
    return [event for event in read_activity(folder) if event["what"] == what]


def workers_on(node: str) -> list[psutil.Process]:
    """Processes that do the work there: children of those that watch over them."""
    found = []
    for pid in jobs_on(node):
        try:
            process = psutil.Process(pid)
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextmanager
def happening(after: int, folder: Path, fault: Callable[[], Any]) -> Iterator[None]:
    """Let something happen once so many tasks are done."""

    def wait() -> None:
        until(lambda: len(events(folder, "done")) >= after, 240, "work to disturb")
        fault()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def test_work_is_shared_among_nodes_and_jobs_end(slurm: Slurm, tmp_path: Path) -> None:
    with open_engine(settings(), stage="prepare", folder=tmp_path) as engine:
        assert dict(engine.map(tasks.digest, errands(tmp_path))) == expected(tmp_path)
        assert len(jobs()) == 2
        # Its address is noted while it works, and answers there.
        with urllib.request.urlopen(engine._cluster.dashboard) as answer:
            assert answer.status == 200
    until(lambda: not jobs(), 20, "end of the jobs")
    assert {event["worker"].split(":")[0] for event in events(tmp_path, "done")} == {"n1", "n2"}
    assert {event["stage"] for event in read_activity(tmp_path)} == {"prepare"}


def test_workers_in_containers(slurm: Slurm, tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    contained = settings(
        container="bubblewrap",
        image=str(make_root(tmp_path / "root")),
        python=INSIDE,
        binds=[*binds(), f"{TESTS}:{TESTS}:ro"],
    )
    with open_engine(contained, folder=tmp_path, watched=[tmp_path]) as engine:
        assert dict(engine.map(tasks.digest, errands(tmp_path))) == expected(tmp_path)
        assert {program for _, program in engine.map(tasks.say_python, range(4))} == {INSIDE}
    until(lambda: not jobs(), 20, "end of the jobs")


def test_a_killed_worker(slurm: Slurm, tmp_path: Path) -> None:
    def fault() -> None:
        found = workers_on("n1")
        assert found
        for process in found:
            process.kill()

    with (
        open_engine(settings(), folder=tmp_path) as engine,
        happening(8, tmp_path, fault),
    ):
        assert dict(engine.map(tasks.digest, errands(tmp_path))) == expected(tmp_path)


def test_a_lost_node(slurm: Slurm, tmp_path: Path) -> None:
    with (
        open_engine(settings(), folder=tmp_path) as engine,
        happening(8, tmp_path, lambda: slurm.lose("n1")),
    ):
        assert dict(engine.map(tasks.digest, errands(tmp_path))) == expected(tmp_path)
    last = events(tmp_path, "done")[-6:]
    assert {event["worker"].split(":")[0] for event in last} == {"n2"}


def test_the_controller_dies(slurm: Slurm, tmp_path: Path) -> None:
    with (
        open_engine(settings(), folder=tmp_path) as engine,
        happening(8, tmp_path, lambda: slurm.kill("controller")),
    ):
        assert dict(engine.map(tasks.digest, errands(tmp_path))) == expected(tmp_path)
    # Nobody could end the jobs; their workers go when nobody leads them.
    until(lambda: not jobs_on("n1") and not jobs_on("n2"), 90, "end of the workers")


def test_a_worker_that_hangs_in_a_task(slurm: Slurm, tmp_path: Path) -> None:
    with open_engine(settings(task_s=3.0), folder=tmp_path) as engine:
        found = dict(engine.map(tasks.stand_still_once, errands(tmp_path)))
    assert found == expected(tmp_path)
    assert (tmp_path / "stood").exists()


def test_a_worker_that_stands_still(slurm: Slurm, tmp_path: Path) -> None:
    def fault() -> None:
        found = workers_on("n1")
        assert found
        for process in found:
            process.suspend()

    with (
        open_engine(settings(silent_s=5.0), folder=tmp_path) as engine,
        happening(8, tmp_path, fault),
    ):
        assert dict(engine.map(tasks.digest, errands(tmp_path))) == expected(tmp_path)


def test_a_task_that_crashes_is_done_with_care(slurm: Slurm, tmp_path: Path) -> None:
    with open_engine(settings(), folder=tmp_path) as engine:
        found = dict(engine.map(tasks.die_at_seven, errands(tmp_path), careful=tasks.digest))
        assert found == expected(tmp_path)
        assert {event["task"] for event in events(tmp_path, "again")} >= {7}
        with pytest.raises(EngineError, match=r"item 7 ended every worker .*logs of the workers"):
            list(engine.map(tasks.die_at_seven, errands(tmp_path, 9)))


def test_a_disk_that_is_full_on_one_node(apart: Any, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    apart("mount", "-t", "tmpfs", "-o", "size=4k", "none", str(shared))
    apart("sh", "-c", f"cat /dev/zero > {shared}/full 2> /dev/null || true")
    with open_engine(settings(), folder=tmp_path) as engine:
        assert dict(engine.map(tasks.note, errands(shared))) == expected(shared)
    found = {int(path.stem): path.read_text() for path in shared.glob("*.txt")}
    assert found == expected(shared)
    assert "No space left" in events(tmp_path, "again")[0]["why"]


def test_a_disk_that_is_full_everywhere(slurm: Slurm, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(shared)], check=True)
    try:
        (shared / "full").write_bytes(b"x" * 4096)
        with (
            open_engine(settings(tries=2), folder=tmp_path) as engine,
            pytest.raises(EngineError, match=r"tried 2 times.*No space left.*call the same"),
        ):
            list(engine.map(tasks.note, errands(shared)))
    finally:
        subprocess.run(["umount", str(shared)], check=True)


def test_a_shared_folder_that_is_away_for_a_while(apart: Any, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "image.txt").touch()
    apart("mount", "-t", "tmpfs", "none", str(shared))
    with (
        open_engine(settings(), folder=tmp_path, watched=[shared]) as engine,
        happening(20, tmp_path, lambda: apart("umount", str(shared))),
    ):
        found = dict(engine.map(tasks.say_where, errands(shared, 60)))
    # It waits there, and works once the folder is back.
    assert set(found.values()) == {"n1", "n2"}


def test_near_its_time_limit_a_job_gives_way_to_the_next(slurm: Slurm, tmp_path: Path) -> None:
    # The first two jobs are short ones; on a busy machine they may not come to do anything.
    short = [
        f"touch {tmp_path}/job-$SLURM_JOB_ID",
        f"if [ $(ls {tmp_path}/job-* | wc -l) -le 2 ]; then",
        "export MORPHOSCOPE_DEADLINE=$(($(date +%s) + 8))",
        "fi",
    ]
    brief = settings(prologue=[*settings().prologue, *short])
    with open_engine(brief, folder=tmp_path) as engine:
        assert dict(engine.map(tasks.digest, errands(tmp_path, 80))) == expected(tmp_path, 80)
    assert "out of time" in {event["why"] for event in events(tmp_path, "again")}
    assert len(list(tmp_path.glob("job-*"))) > 2


@pytest.mark.thorough
def test_slurm_ends_jobs_at_their_time_limit(slurm: Slurm, tmp_path: Path) -> None:
    # They know of no deadline, so that it is Slurm that ends them, after a minute or two.
    brief = settings(
        walltime="0:01:00", prologue=[*settings().prologue, "unset MORPHOSCOPE_DEADLINE"]
    )
    with open_engine(brief, folder=tmp_path) as engine:
        assert dict(engine.map(tasks.digest, errands(tmp_path, 1200))) == expected(tmp_path, 1200)
    ended = said("sacct", "-n") or (slurm.folder / "slurmctld.log").read_text()
    assert "Time limit exhausted" in ended
    assert len({event["worker"] for event in events(tmp_path, "done")}) > 2


def test_jobs_that_cannot_start_are_told(slurm: Slurm, tmp_path: Path) -> None:
    with (
        open_engine(settings(partition="long"), folder=tmp_path) as engine,
        pytest.raises(EngineError, match=r"slurm refuses the jobs: .*[Ii]nvalid partition"),
    ):
        list(engine.map(tasks.digest, errands(tmp_path)))
    with (
        open_engine(settings(python="/nowhere/python"), folder=tmp_path) as engine,
        pytest.raises(EngineError, match=r"jobs ended before their worker came; .*nowhere"),
    ):
        list(engine.map(tasks.digest, errands(tmp_path)))
    with (
        open_engine(settings(memory="64GB", start_s=4.0), folder=tmp_path) as engine,
        pytest.raises(EngineError, match=r"refuses the jobs|no worker has come"),
    ):
        list(engine.map(tasks.digest, errands(tmp_path)))


def test_whoever_leads_is_killed(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "lead.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(TESTS)!r})\n"
        "from on_slurm.test_slurm_faults import *\n"
        "if __name__ == '__main__':\n"
        f"    folder = Path({str(tmp_path)!r})\n"
        "    with open_engine(settings(), folder=folder) as engine:\n"
        "        list(engine.map(tasks.digest, errands(folder, 1000)))\n"
    )
    leader = subprocess.Popen([sys.executable, script], start_new_session=True)
    until(lambda: len(events(tmp_path, "done")) > 4, 240, "work")
    os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    began = time.monotonic()
    until(lambda: not jobs(), 120, "end of the jobs")
    print(f"jobs ended {time.monotonic() - began:.0f} s after their leader")
    assert not workers_on("n1")
    with_pid(leader.pid, signal.SIGKILL)
