"""One variant on its way through a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morphoscope.comparison.answering import Questions
from morphoscope.comparison.trainings import Training
from morphoscope.provenance import StageRecord
from morphoscope.recipe import Recipe

__all__ = ["Entry"]


@dataclass
class Entry:
    """What a variant is, and what became of it so far.

    Attributes
    ----------
    name, recipe
        Of the variant.
    stores, asked
        Of each fold, or of the one split.
    trainings, records, answers
        By seed and fold; an answer is an array ``(n, k)`` for each split.
    """

    name: str
    recipe: Recipe
    stores: list[Path] = field(default_factory=list)
    asked: list[Questions] = field(default_factory=list)
    trainings: list[list[Training]] = field(default_factory=list)
    records: list[list[StageRecord]] = field(default_factory=list)
    answers: list[list[dict[str, NDArray[np.float64]]]] = field(default_factory=list)
