"""What a person is shown of prepared images, and what measures grey levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_pictures"]


def as_pictures(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey or RGB pictures of prepared images.

    Parameters
    ----------
    images
        (n, channel, y, x), prepared: uint8, or float on the scale of grey levels. More than three
        channels, and those of float, are bands from blue to red.

    Returns
    -------
    numpy.ndarray
        (n, 1 or 3, y, x) uint8. Of bands the last, middle and first are red, green and blue; of
        two their mean is green. Floats are rounded and end at 0 (sky) and 255 (white).

    Examples
    --------
    >>> bands = np.array([-3.0, 10, 20, 300, 40], np.float16).reshape(1, 5, 1, 1)
    >>> as_pictures(bands).ravel().tolist()
    [40, 20, 0]
    """
    n = images.shape[1]
    if images.dtype == np.uint8 and n in (1, 3):
        return np.asarray(images)
    levels = images.astype(np.float32)
    if n == 2:
        levels = np.stack([levels[:, 1], levels.mean(1), levels[:, 0]], axis=1)
    elif n > 2:
        levels = levels[:, [n - 1, n // 2, 0]]
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)
