"""The inclination of a disc: the formula of its ellipse, and honest intervals of any answer."""

from morphoscope.inclination.formula import axial_ratio, fit_thickness, inclination
from morphoscope.inclination.intervals import apply_intervals, fit_intervals

__all__ = ["apply_intervals", "axial_ratio", "fit_intervals", "fit_thickness", "inclination"]
