"""Shapes of galaxies without a network: axial ratios, position angle, size, inclination."""

from morphoscope.measure.catalogue import measure, measure_files
from morphoscope.measure.shape import Shape, measure_shape

__all__ = ["Shape", "measure", "measure_files", "measure_shape"]
