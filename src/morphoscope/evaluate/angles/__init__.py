"""How near the inclinations come, whether their intervals hold, and what the formula would say."""

from morphoscope.evaluate.angles.outside import judge
from morphoscope.evaluate.angles.stage import evaluate_angles

__all__ = ["evaluate_angles", "judge"]
