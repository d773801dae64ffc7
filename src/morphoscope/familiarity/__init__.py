"""Familiarity: is an image like anything that the model was trained on?"""

from morphoscope.familiarity.descriptors import describe
from morphoscope.familiarity.fitting import (
    FLAGGED,
    deviations,
    distances,
    familiarity,
    fit_familiarity,
    known_version,
    usual_deviations,
)
from morphoscope.familiarity.of_store import judge_store
from morphoscope.familiarity.words import Trait, differing_traits

__all__ = ["FLAGGED", "describe", "distances", "familiarity", "fit_familiarity", "judge_store"]
__all__ += ["Trait", "deviations", "differing_traits", "known_version"]
__all__ += ["usual_deviations"]
