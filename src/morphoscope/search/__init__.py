"""Search: settings by trials that stop early, survive a kill and share one copy of the images."""

from morphoscope.search.stage import search

__all__ = ["search"]
