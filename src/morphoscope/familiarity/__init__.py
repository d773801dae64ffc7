"""Familiarity: is an image like anything that the model was trained on?"""

from morphoscope.familiarity.descriptors import describe
from morphoscope.familiarity.fitting import (
    FLAGGED,
    distances,
    familiarity,
    fit_familiarity,
    known_version,
)
from morphoscope.familiarity.of_store import judge_store

__all__ = ["FLAGGED", "describe", "distances", "familiarity", "fit_familiarity", "judge_store"]
__all__ += ["known_version"]
