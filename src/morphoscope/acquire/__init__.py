"""Acquire: labelled images from a folder, a table, the Galaxy Challenge or Galaxy10."""

from morphoscope.acquire.more import add_more, inputs_of_more
from morphoscope.acquire.sources import acquire, inputs

__all__ = ["acquire", "add_more", "inputs", "inputs_of_more"]
