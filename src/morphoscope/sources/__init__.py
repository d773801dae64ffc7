"""Sources: the galaxy in the middle of an image, found above the sky, its place and moments."""

from morphoscope.sources.place import Place, find_place

__all__ = ["Place", "find_place"]
