"""Retraining: a model learns from new labels, and is served if it gained by them."""

from morphoscope.retraining.promoting import Promotion, promote, rollback
from morphoscope.retraining.renewing import retrain

__all__ = ["Promotion", "promote", "retrain", "rollback"]
