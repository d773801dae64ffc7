"""Variants of a recipe, trained under one protocol and compared on the same test images."""

from morphoscope.comparison.study import compare_variants

__all__ = ["compare_variants"]
