"""The model's answers for rows of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from morphoscope.engine import cores
from morphoscope.progress import progress
from morphoscope.recipe import TrainSettings

if TYPE_CHECKING:
    from morphoscope.networks.model import Model

__all__ = ["answer", "device_of", "threads"]

# Images through the network at once, orientations counted. On a CPU few at once, which stay in its
# cache, are up to twice as fast as many.
VIEWS = {"cpu": 64, "cuda": 2048}


def device_of(settings: TrainSettings) -> torch.device:
    """A GPU where there is one and the recipe does not say ``cpu``."""
    wanted = settings.device != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if wanted else "cpu")


@contextmanager
def threads(settings: TrainSettings) -> Iterator[None]:
    """Context: torch works with the threads that the recipe names."""
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads or cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def answer(
    model: Model, images: NDArray[np.uint8], rows: NDArray[np.int64], device: torch.device
) -> NDArray[np.float64]:
    """Logarithm of the mean probability of each class, shape ``(len(rows), classes)``.

    Always float32, as in the exported model.
    """
    parts = []
    size = max(1, VIEWS[device.type] // model.orientations)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode(), progress("evaluate", len(rows)) as advance:
        for first in range(0, len(rows), size):
            batch = torch.from_numpy(images[rows[first : first + size]]).to(device)
            parts.append(model(batch).double().cpu().numpy())
            advance(len(batch))
    return np.concatenate(parts)
