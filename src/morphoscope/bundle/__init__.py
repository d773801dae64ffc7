"""A servable model in one folder: written after training, opened without torch."""

from morphoscope.bundle.opening import Bundle, open_bundle, shipped_bundles
from morphoscope.bundle.writing import export

__all__ = ["Bundle", "export", "open_bundle", "shipped_bundles"]
