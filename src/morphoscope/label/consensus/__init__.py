"""What a campaign's votes say together, how far people agree, and when that is enough."""

from morphoscope.label.consensus.agreement import (
    angle_alpha,
    answer_alpha,
    intraclass_correlation,
    pair_difference,
    rater_differences,
)
from morphoscope.label.consensus.angles import AngleConsensus, angle_consensus
from morphoscope.label.consensus.answers import (
    AnswerConsensus,
    answer_consensus,
    reject_consensus,
)
from morphoscope.label.consensus.stopping import (
    angles_agree,
    answers_agree,
    lead_probability,
    standard_error,
)

__all__ = [
    "AngleConsensus",
    "AnswerConsensus",
    "angle_alpha",
    "angle_consensus",
    "angles_agree",
    "answer_alpha",
    "answer_consensus",
    "answers_agree",
    "intraclass_correlation",
    "lead_probability",
    "pair_difference",
    "rater_differences",
    "reject_consensus",
    "standard_error",
]
