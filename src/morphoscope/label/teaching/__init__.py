"""Which galaxies to label next so that a model learns most from them, and in which order."""

from morphoscope.label.teaching.queueing import RANDOM, TEACHING, order
from morphoscope.label.teaching.scores import Order, teaches

__all__ = ["RANDOM", "TEACHING", "Order", "order", "teaches"]
