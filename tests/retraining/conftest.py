"""A run of a tiny model, made by the pipeline, and labels for another time."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drawn_sky import CLASSES, SIDE, draw_sky
from morphoscope.pipeline import run_stages
from morphoscope.recipe import Recipe


def shapes_recipe(table: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "shapes",
            "acquire": {
                "source": "table",
                "data": str(table),
                "id_column": "id_str",
                "file_column": "file_loc",
            },
            "clean": {
                "classes": [{"name": name, "where": f"class = '{name}'"} for name in CLASSES]
            },
            "prepare": {"size": SIDE},
            "augment": {"zoom": [], "shift": 0, "brightness": 0},
            "train": {
                "network": "resnet10",
                "width": 0.125,
                "epochs": 2,
                "batch_size": 32,
                "members": 2,
                "threads": 1,
            },
            "evaluate": {"bootstrap": 100, "gallery": 0, "explain": 0},
            "engine": {"kind": "inline"},
        }
    )


@pytest.fixture(scope="session")
def old_sky(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return draw_sky(tmp_path_factory.mktemp("sky") / "old", 160, seed=1)


@pytest.fixture(scope="session")
def new_sky(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return draw_sky(tmp_path_factory.mktemp("sky") / "new", 80, seed=2, sky=40.0)


@pytest.fixture(scope="session")
def recipe(old_sky: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    table = tmp_path_factory.mktemp("data") / "old.csv"
    old_sky.write_csv(table)
    return shapes_recipe(table)


@pytest.fixture(scope="session")
def old_run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of the old model; not to be written to."""
    run = tmp_path_factory.mktemp("runs") / "old"
    run_stages(recipe, run)
    return run
