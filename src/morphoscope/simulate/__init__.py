"""Simulate: galaxies of known truth, drawn as a survey would show them."""

from morphoscope.simulate.population import CLASSES, draw_galaxy
from morphoscope.simulate.shards import simulate

__all__ = ["CLASSES", "draw_galaxy", "simulate"]
