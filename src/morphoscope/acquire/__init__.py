"""Acquire: labelled images from a folder, a table, the Galaxy Challenge or Galaxy10."""

from morphoscope.acquire.sources import acquire, inputs

__all__ = ["acquire", "inputs"]
