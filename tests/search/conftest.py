"""A run folder with tiny images of three classes, prepared, and the recipe that searches it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from morphoscope.pipeline import opened, prepared
from morphoscope.recipe import Recipe

RATE = {"train.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
CLASSES = {"edge_on": 0.15, "oval": 0.5, "round": 1.0}


def make_recipe(data: Path, search: dict[str, Any], **sections: Any) -> Recipe:
    train = {
        "network": "resnet10",
        "width": 0.125,
        "epochs": 2,
        "batch_size": 16,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        **sections.pop("train", {}),
    }
    values = {
        "name": "tiny",
        "seed": 3,
        "acquire": {"source": "folder", "data": str(data)},
        "prepare": {"size": 32},
        "split": {"validation": 0.25, "test": 0.25},
        "engine": {"kind": "inline"},
        "train": train,
        "search": {"space": RATE, "trials": 3, "startup": 2, **search},
        **sections,
    }
    return Recipe.model_validate(values)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("galaxies")
    for name, ratio in CLASSES.items():
        (folder / name).mkdir()
        for index in range(16):
            cv2.imwrite(str(folder / name / f"{index}.png"), draw(ratio, index))
    return folder


def draw(ratio: float, seed: int) -> np.ndarray:
    """An exponential disc of some axial ratio, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40] - 19.5
    angle = random.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = 220 * np.exp(-np.hypot(along, across / ratio) / 6)
    image = light[..., None] + random.normal(12, 4, (40, 40, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def prepared_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "run"
    recipe = make_recipe(data, {})
    with opened(recipe, folder) as job:
        prepared(job, recipe)
    return folder


@pytest.fixture
def run(prepared_run: Path, tmp_path: Path) -> Path:
    """A copy of the prepared run, for one search."""
    return Path(shutil.copytree(prepared_run, tmp_path / "run"))


@pytest.fixture
def recipe_of(data: Path) -> Callable[..., Recipe]:
    """Make the recipe with some settings of its search, and of other sections."""

    def make(search: dict[str, Any] | None = None, **sections: Any) -> Recipe:
        return make_recipe(data, search or {}, **sections)

    return make
