"""One Slurm for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slurm import Slurm, running_slurm


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
