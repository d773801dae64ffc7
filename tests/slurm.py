"""A Slurm of its own for the tests that need one: a controller and two nodes on this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
# Jobs look for it here, whatever the environment says.
CONF = Path("/etc/slurm/slurm.conf")
MARK = "# Of the tests of Morphoscope."
MUNGE_SOCKET = Path("/run/munge/munge.socket.2")
PORT = 16817
NODES = ("n1", "n2")
SETTINGS = """\
{mark}
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
InactiveLimit=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1,sched_interval=2
{nodes}
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


@dataclass
class Slurm:
    """A controller and its nodes."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_controller(self) -> None:
        self._start("controller", ["slurmctld", "-D"])

    def start_node(self, name: str, *, before: list[str] | None = None) -> None:
        """Start a node's daemon; ``before`` are words before its own, as a namespace."""
        self._start(name, [*(before or []), "slurmd", "-D", "-N", name])

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """Kill a daemon, at once."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def lose(self, name: str) -> None:
        """Lose a node: its daemon and all that runs on it, at once."""
        self.kill(name)
        for process in jobs_on(name):
            with_pid(process, signal.SIGKILL)

    def states(self) -> dict[str, str]:
        """State of each node."""
        lines = said("sinfo", "-h", "-N", "-o", "%N %T").splitlines()
        return dict(line.split() for line in lines)

    def ready(self) -> None:
        """Bring back what a test took away; jobs are gone, all nodes idle."""
        subprocess.run(["scancel", "--full", "--user", "root"], capture_output=True, check=False)
        if "controller" not in self.processes:
            self.start_controller()
        for name in NODES:
            if name not in self.processes:
                self.start_node(name)
        until(self._all_idle, 60, "idle nodes")

    def _all_idle(self) -> bool:
        """Whether all nodes are idle; one that still holds to what was killed is told so."""
        others = [name for name, state in self.states().items() if state != "idle"]
        for name in others:
            for state in ("DOWN", "RESUME"):
                said("scontrol", "update", f"NodeName={name}", f"State={state}", "Reason=tests")
            time.sleep(1)
        return not others and bool(self.states())

    def stop(self) -> None:
        subprocess.run(["scancel", "--user", "root"], capture_output=True, check=False)
        for name in list(self.processes):
            self.kill(name)
        for name in NODES:
            for process in jobs_on(name):
                with_pid(process, signal.SIGKILL)


def said(*command: str) -> str:
    """Output of a command; empty where it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def jobs() -> list[str]:
    """Numbers of the jobs that wait or run."""
    return said("squeue", "-h", "-o", "%A").split()


def jobs_on(node: str) -> list[int]:
    """Processes that Slurm started on a node."""
    wanted = f"SLURMD_NODENAME={node}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def with_pid(process: int, sign: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(process, sign)
    except ProcessLookupError:
        return


def until(happens: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {seconds} s")
        time.sleep(0.1)


def _require() -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"Slurm is not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)"
        )
    if os.geteuid() != 0:
        pytest.skip("a Slurm of the tests' own needs root")
    if CONF.exists() and MARK not in CONF.read_text():
        pytest.skip(f"this machine has a Slurm already ({CONF})")


def _authenticate() -> None:
    """Start munge, unless it runs."""
    if said("munge", "-n"):
        return
    for folder in (MUNGE_SOCKET.parent, Path("/var/log/munge")):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    key = Path("/etc/munge/munge.key")
    if not key.exists():
        key.write_bytes(os.urandom(1024))
        shutil.chown(key, "munge", "munge")
        key.chmod(0o400)
    subprocess.run(["munged", "--force"], user="munge", group="munge", check=True, cwd="/")
    until(lambda: bool(said("munge", "-n")), 10, "munge")


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A controller and two nodes of one core each; one at a time on a machine."""
    _require()
    with Path("/run/morphoscope-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _authenticate()
        folder = Path(tempfile.mkdtemp(prefix="morphoscope-slurm-"))
        (folder / "state").mkdir()
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORT + k + 1} CPUs=1 "
            "RealMemory=16000 State=UNKNOWN"
            for k, name in enumerate(NODES)
        )
        CONF.parent.mkdir(parents=True, exist_ok=True)
        settings = {"mark": MARK, "host": host, "port": PORT, "folder": folder, "nodes": nodes}
        CONF.write_text(SETTINGS.format(**settings))
        slurm = Slurm(folder)
        try:
            slurm.start_controller()
            slurm.ready()
            yield slurm
        finally:
            slurm.stop()
            CONF.unlink()
            shutil.rmtree(folder, ignore_errors=True)
