"""Fixtures that several stages share."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
# A shell lets what it runs in the background ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same examples each time: a busy machine or a new draw must not fail what nobody changed.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("MORPHOSCOPE_HYPOTHESIS", "steady"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real galaxies, which are not part of the project."""
    named = os.environ.get("MORPHOSCOPE_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real galaxies: {folder} is absent (set MORPHOSCOPE_DATA)")
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server, without the name of a database."""
    from postgresql import running_postgresql

    with running_postgresql() as address:
        yield address


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a tiny model, up to and with evaluate and export; one for all processes."""
    from morphoscope.bundle import export
    from tiny_run import make_run, tiny_recipe

    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny-run"
    with made.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not made.read_text():
            recipe = tiny_recipe()
            folder = make_run(tmp_path_factory.mktemp("tiny"), recipe)
            export(recipe, run=folder, out=folder / "export")
            made.write_text(str(folder))
        return Path(made.read_text())


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """Folder of the tiny model's bundle."""
    return tiny_run / "export" / "tiny"


CAPABILITY_VERSION = 0x20080522
READ_EVERYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Whoever runs the tests, permissions count: Linux's root lays its right aside."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    rights = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, rights) == 0
    effective = rights[0]
    rights[0] = effective & ~READ_EVERYTHING
    assert libc.capset(header, rights) == 0
    yield
    rights[0] = effective
    assert libc.capset(header, rights) == 0
