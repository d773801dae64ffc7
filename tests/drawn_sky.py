"""Surveys of two kinds of discs, drawn at will."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl

CLASSES = ["long", "round"]
SIDE = 32


def draw_sky(
    folder: Path, n: int, *, seed: int, noise: float = 6.0, sky: float = 20.0, dim: float = 1.0
) -> pl.DataFrame:
    """Discs of axial ratio 1 or 0.3 as PNG; a table of ``id_str``, ``file_loc``, ``class``."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    rows = []
    for index in range(n):
        label, angle = int(random.integers(2)), random.uniform(0, np.pi)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        light = np.exp(-np.hypot(along, across / (0.3, 1.0)[label]) / random.uniform(4, 6))
        image = dim * 200 * light[..., None] + random.normal(sky, noise, (SIDE, SIDE, 3))
        file = folder / f"{folder.name}-{index:03d}.png"
        cv2.imwrite(str(file), np.clip(image, 0, 255).astype(np.uint8))
        rows.append({"id_str": file.stem, "file_loc": str(file), "class": CLASSES[label]})
    return pl.DataFrame(rows)
