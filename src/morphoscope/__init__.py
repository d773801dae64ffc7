"""Morphoscope: galaxy images in, a morphology catalogue and a trustworthy model out."""

__version__ = "0.1.0"
