"""Prepare: every image to one size, once, into a memory-mapped store."""

from morphoscope.prepare.pixels import prepare_file, prepare_pixels
from morphoscope.prepare.store import Store, open_store
from morphoscope.prepare.write import prepare

__all__ = ["Store", "open_store", "prepare", "prepare_file", "prepare_pixels"]
