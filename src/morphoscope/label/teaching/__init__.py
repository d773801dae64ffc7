"""Which galaxies to label next so that a model learns most from them, and in which order."""

from morphoscope.label.teaching.queueing import order
from morphoscope.label.teaching.scores import Order, teaches

__all__ = ["Order", "order", "teaches"]
