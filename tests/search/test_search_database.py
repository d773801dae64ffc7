"""Trials in PostgreSQL: a server of the test's own, shared by processes, and out of reach."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from morphoscope.errors import RecipeError, StudyError
from morphoscope.recipe import Recipe
from morphoscope.search import search
from morphoscope.search.storage import shown_url

Make = Callable[..., Recipe]


def test_a_database_holds_the_trials_of_two_processes(
    recipe_of: Make, run: Path, tmp_path: Path, postgresql: str
) -> None:
    settings = {"storage": f"{postgresql}/postgres", "strategy": "random", "stopping": "none"}
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
