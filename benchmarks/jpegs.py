"""JPEG files to measure with, and how ratios are printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SIDE = 423


def find_or_draw(data: Path | None, n: int, folder: Path) -> list[str]:
    """Up to `n` JPEG files below `data`, or as many drawn into `folder`."""
    if data is not None:
        files = sorted(data.rglob("*.jpg"))
        if not files:
            raise SystemExit(f"{data} holds no .jpg file")
        return [str(file) for file in files[:: max(1, len(files) // n)][:n]]
    random = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for index in range(n):
        light = 220 * np.exp(-np.hypot(y, x / random.uniform(0.3, 1)) / random.uniform(10, 40))
        sky = cv2.GaussianBlur(random.normal(10, 12, (SIDE, SIDE, 3)), (0, 0), 1.2)
        image = np.clip(light[..., None] * random.uniform(0.5, 1, 3) + sky, 0, 255)
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return [str(file) for file in sorted(folder.glob("*.jpg"))]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median with the range: ``3.10 [2.95–3.22]``."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} [{low:,.{digits}f}–{high:,.{digits}f}]"
