"""A servable model in one folder: written after training, opened without torch."""

from morphoscope.bundle.engines import Precision
from morphoscope.bundle.opening import Bundle, open_bundle, shipped_bundles
from morphoscope.bundle.retrofit import add_familiarity
from morphoscope.bundle.writing import export

__all__ = ["Bundle", "Precision", "add_familiarity", "export", "open_bundle", "shipped_bundles"]
