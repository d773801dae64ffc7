"""A PostgreSQL of its own for the tests that need one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path:
    found = shutil.which("pg_ctl")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found and not places:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return (Path(found).resolve() if found else places[-1]).parent


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Address of a server, without the name of a database; `postgres` is empty."""
    bin_folder = _programs()
    folder = Path(tempfile.mkdtemp(prefix="morphoscope-pg-"))
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *words: str) -> None:
        command = [str(bin_folder / program), "-D", str(folder / "data"), *words]
        subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL, cwd="/")

    call("initdb", "-A", "trust", "-U", "morphoscope", "--no-sync")
    options = f"-p {port} -k {folder} -h 127.0.0.1 -F"
    try:
        call("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
        yield f"postgresql://morphoscope@127.0.0.1:{port}"
    finally:
        call("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
