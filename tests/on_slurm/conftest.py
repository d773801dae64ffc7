"""One Slurm for all tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from slurm import Slurm, running_slurm, until


@pytest.fixture(scope="session")
def machine() -> Iterator[Slurm]:
    """A controller and two nodes."""
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(machine: Slurm) -> Slurm:
    """The same, with all nodes idle."""
    machine.ready()
    return machine


@pytest.fixture
def apart(slurm: Slurm) -> Iterator[Callable[..., None]]:
    """Let n2 have a view of the disks of its own; a function that mounts and unmounts there."""
    slurm.kill("n2")
    slurm.start_node("n2", before=["unshare", "--mount", "--propagation", "private"])
    until(lambda: slurm.states()["n2"] == "idle", 30, "second node")

    def there(*command: str) -> None:
        process = slurm.processes["n2"].pid
        subprocess.run(["nsenter", "-t", str(process), "-m", *command], check=True)

    yield there
    if "n2" in slurm.processes:
        slurm.lose("n2")
