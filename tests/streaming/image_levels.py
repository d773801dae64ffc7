"""A task that reads every image really, for tests of the stream; workers import it by its name."""

from __future__ import annotations

import pyarrow as pa

from morphoscope.images import read_image
from morphoscope.streaming import MISSING, Rows, flag_of


def _mean(file: str | None, factor: int) -> tuple[float | None, str | None]:
    if file is None:
        return None, MISSING
    try:
        return factor * float(read_image(file).mean()), None
    except Exception as error:
        return None, flag_of(error)


def levels(files: tuple[str | None, ...], *, factor: int) -> Rows:
    """Mean of the pixels of each image, really read."""
    found = [_mean(file, factor) for file in files]
    means = pa.array([mean for mean, _ in found], pa.float32())
    side = [None if mean is None else ("dark", "light")[mean > 100] for mean, _ in found]
    columns = {"level": means, "side": pa.array(side, pa.string())}
    return Rows(columns, [flag for _, flag in found], {"seen": len(files)})
