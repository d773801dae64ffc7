"""What a model looked at, without its insides: parts of the image are covered in turn.

Zeiler & Fergus (2014), ECCV, section 4.2: where covering a part changes the answer, the model
looked there.
"""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.bundle import Bundle

__all__ = ["CELLS", "looked_at"]

CELLS = 8
# Side of what is covered, in cells: neighbours overlap, so that the map is smooth.
COVERED = 2
SEEN_SIDE = 256


def looked_at(bundle: Bundle, image: NDArray[Any]) -> dict[str, Any]:
    """Map of what counts, and the image as the model sees it.

    Parameters
    ----------
    bundle
        The model.
    image
        Prepared, (channel, y, x).

    Returns
    -------
    dict
        ``grid``: shape (8, 8), rows from the top, from 0 to 1, the largest change being 1; all 0
        where nothing changes the answer. ``change``: that change: of the probability of the
        answer, or of the inclination (deg). ``seen``: PNG of the image as a data address.
    """
    answers = bundle.predict(np.concatenate([image[None], _covered(image)]))
    grid = _changes(bundle, answers).reshape(CELLS, CELLS)
    most = float(grid.max())
    shown = grid / most if most > 0 else grid
    return {
        "grid": [[round(float(value), 4) for value in row] for row in shown],
        "change": round(most, 4),
        "seen": _address(image),
    }


def _covered(image: NDArray[Any]) -> NDArray[Any]:
    """Images with one part each covered by the level of the rim, (64, channel, y, x)."""
    channels, ny, nx = image.shape
    rim = np.concatenate(
        [
            image[:, 0],
            image[:, -1],
            image[:, :, 0],
            image[:, :, -1],
        ],
        axis=1,
    )
    level = np.median(rim, axis=1).astype(image.dtype).reshape(channels, 1, 1)
    copies = np.repeat(image[None], CELLS * CELLS, axis=0)
    half = COVERED / 2
    for index, copy in enumerate(copies):
        row, column = divmod(index, CELLS)
        top, bottom = _edges(row, half, ny)
        left, right = _edges(column, half, nx)
        copy[:, top:bottom, left:right] = level
    return copies


def _edges(cell: int, half: float, length: int) -> tuple[int, int]:
    middle = cell + 0.5
    first, last = (middle - half) * length / CELLS, (middle + half) * length / CELLS
    return max(0, round(first)), min(length, round(last))


def _changes(bundle: Bundle, answers: NDArray[np.float32]) -> NDArray[np.float64]:
    number = len(bundle.classes)
    whole, covered = answers[0].astype(np.float64), answers[1:].astype(np.float64)
    best = int(whole[:number].argmax())
    if bundle.task == "inclination" and best == 0:
        return np.asarray(np.abs(covered[:, number] - whole[number]))
    return np.asarray(np.clip(whole[best] - covered[:, best], 0, None))


def _address(image: NDArray[Any]) -> str:
    pixels = image.astype(np.float32).transpose(1, 2, 0)
    if pixels.shape[2] not in (1, 3):
        pixels = pixels.mean(2, keepdims=True)
    shown = np.clip(pixels, 0, 255).astype(np.uint8)
    if shown.shape[2] == 3:
        shown = shown[..., ::-1]
    scale = max(1, round(SEEN_SIDE / max(shown.shape[:2])))
    size = (shown.shape[1] * scale, shown.shape[0] * scale)
    large = cv2.resize(shown, size, interpolation=cv2.INTER_NEAREST)
    _, encoded = cv2.imencode(".png", large)
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
