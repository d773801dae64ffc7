"""Noise that is added to images on purpose, to find out what denoising is worth."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["add_noise"]

Pixels = NDArray[Any]


def add_noise(pixels: Pixels, spread: float) -> Pixels:
    """Add Gaussian noise, independent in every pixel and channel.

    Parameters
    ----------
    pixels
        (y, x, channel), grey levels: uint8, or float with sky at 0.
    spread
        Standard deviation (grey levels); 0 changes nothing. Sums of uint8 are rounded and end at 0
        and 255.

    Notes
    -----
    The image's own pixels are the seed: the same image gets the same noise in every process and
    under every name, whatever is done to it afterwards.
    """
    if not spread:
        return pixels
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
    random = np.random.default_rng(int.from_bytes(digest))
    noisy = pixels + random.normal(0, spread, pixels.shape)
    if pixels.dtype != np.uint8:
        return np.asarray(noisy, pixels.dtype)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), dtype=np.uint8)
