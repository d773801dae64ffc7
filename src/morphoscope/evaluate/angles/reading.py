"""What the stages before left: discs of known inclination, and a model that measures them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import CheckpointError, StageError
from morphoscope.evaluate.reading import load_answering
from morphoscope.prepare import Store

if TYPE_CHECKING:
    from morphoscope.networks.model import Model

__all__ = ["FEWEST", "guess", "known_discs", "load_measuring"]

Integers = NDArray[np.int64]
# Of fewer, neither an interval nor a score means anything.
FEWEST = 5


def known_discs(store: Store, rows: Integers, split: str) -> NDArray[np.bool_]:
    """Which rows are discs of known inclination.

    Raises
    ------
    StageError
        There are too few to score or to calibrate with.
    """
    chosen = (store.labels[rows] == 0) & np.isfinite(store.inclinations[rows])
    if (n := int(chosen.sum())) < FEWEST:
        discs = int((store.labels[rows] == 0).sum())
        raise StageError(
            f"{n} of {discs} discs (“{store.classes[0]}”) of the {split} split have a known "
            "inclination",
            expected=f"at least {FEWEST}",
            do=f"raise split.{split}, or look at clean.inclination and at the column it names",
            split=split,
            n=n,
        )
    return np.asarray(chosen)


def guess(store: Store) -> float:
    """Median inclination (deg) of the training discs.

    Raises
    ------
    StageError
        None of them is known.
    """
    rows = store.rows("train")
    return float(np.median(store.inclinations[rows[known_discs(store, rows, "train")]]))


def load_measuring(folder: Path, store: Store) -> Model:
    """Model of a run that measures inclinations, ready to answer.

    Raises
    ------
    StageError
        There is none.
    CheckpointError
        It answers other classes than the store holds, or says nothing of inclinations.
    """
    model = load_answering(folder, store)
    if not model.head.angle:
        raise CheckpointError(
            f"the model in {folder} says nothing of inclinations", do="train again"
        )
    return model
