"""Trials in PostgreSQL: a server of the test's own, shared by processes, and out of reach."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from morphoscope.errors import RecipeError, StudyError
from morphoscope.recipe import Recipe
from morphoscope.search import search
from morphoscope.search.storage import shown_url

Make = Callable[..., Recipe]


def programs() -> Path:
    found = shutil.which("pg_ctl")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found and not places:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return (Path(found).resolve() if found else places[-1]).parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an empty database, without its name."""
    bin_folder = programs()
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


def test_a_database_holds_the_trials_of_two_processes(
    recipe_of: Make, run: Path, tmp_path: Path, server: str
) -> None:
    settings = {"storage": f"{server}/postgres", "strategy": "random", "stopping": "none"}
    recipe = recipe_of(
        {**settings, "trials": 3, "workers": 2}, engine={"kind": "local"}, train={"epochs": 1}
    )
    search(recipe, run)
    table = pl.read_parquet(run / "search/trials.parquet")
    assert table["state"].to_list() == ["complete"] * 3
    assert not (run / "search/journal.log").exists()

    # Another run folder must not take them for its own.
    other = Path(shutil.copytree(run, tmp_path / "other"))
    shutil.rmtree(other / "search")
    with pytest.raises(StudyError, match="belongs to another run folder"):
        search(recipe, other)

    # The same with a journal: what is drawn does not depend on where trials are kept.
    (other / "search").mkdir(exist_ok=True)
    search(recipe_of({**settings, "trials": 3, "storage": ""}, train={"epochs": 1}), other)
    again = pl.read_parquet(other / "search/trials.parquet")
    assert again.drop("seconds").equals(table.drop("seconds"))


def test_a_storage_out_of_reach_says_so(recipe_of: Make, run: Path) -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql://me:secret@127.0.0.1:{port}/trials"
    with pytest.raises(StudyError, match="refused") as caught:
        search(recipe_of({"storage": url}), run)
    assert f"postgresql://me@127.0.0.1:{port}/trials" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_another_kind_of_database_is_refused(recipe_of: Make, run: Path) -> None:
    with pytest.raises(RecipeError, match="postgresql://user@host/database"):
        search(recipe_of({"storage": "mysql://a:word@b/c"}), run)
    assert shown_url("mysql://a:word@b/c") == "mysql://a@b/c"
