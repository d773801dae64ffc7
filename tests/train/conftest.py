"""A store of tiny drawn galaxies: three classes by axial ratio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from morphoscope.catalog import write_catalogue
from morphoscope.prepare.store import write_description
from morphoscope.recipe import PrepareSettings

CLASSES = ["round", "oval", "edge_on"]
SIZE = 32


def draw(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Exponential discs of axial ratio 1, 0.5 and 0.15 with noise ``(n, 3, y, x)``."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    images = []
    for label in labels:
        angle, ratio = generator.uniform(0, np.pi), (1.0, 0.5, 0.15)[label]
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        light = 220 * np.exp(-np.hypot(along, across / ratio) / 5)
        images.append(light + generator.normal(12, 4, (3, SIZE, SIZE)))
    return np.clip(images, 0, 255).astype(np.uint8)


def write_store(folder: Path, labels: list[int], splits: list[str], *, test_seed: int = 0) -> Path:
    classes, generator = np.array(labels), np.random.default_rng(3)
    images = draw(classes, generator)
    held_back = np.array(splits) == "test"
    if held_back.any():
        images[held_back] = draw(classes[held_back], np.random.default_rng(test_seed))
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    frame = pl.DataFrame(
        {
            "id_str": [str(i) for i in range(len(labels))],
            "file_loc": [f"{i}.png" for i in range(len(labels))],
            "class": [CLASSES[label] for label in labels],
            "split": splits,
        }
    )
    write_catalogue(folder / "catalogue.parquet", frame, {"classes": CLASSES})
    write_description(
        folder,
        "complete",
        shape=list(images.shape),
        sha256="0" * 64,
        preparation=PrepareSettings(size=SIZE).model_dump(),
    )
    return folder


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make(labels: list[int], splits: list[str], **values: int) -> Path:
        return write_store(tmp_path_factory.mktemp("store") / "prepare", labels, splits, **values)

    return make


@pytest.fixture(scope="session")
def store(make_store: Callable[..., Path]) -> Path:
    """72 images, unevenly in three classes: 48 to train on, 12 each to validate and test."""
    labels = [0, 1, 0, 2, 0, 1] * 12
    return make_store(labels, ["train"] * 48 + ["validation"] * 12 + ["test"] * 12)
