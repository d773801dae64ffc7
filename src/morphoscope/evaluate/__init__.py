"""How good is it, on what, and where does it fail: scores, calibration and the report."""

from morphoscope.evaluate.stage import evaluate

__all__ = ["evaluate"]
