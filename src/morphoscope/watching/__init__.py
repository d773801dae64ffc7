"""Seeing what an engine does, or did: while it works, and as a page afterwards."""

from morphoscope.watching.page import write_page
from morphoscope.watching.summary import Summary, summarize

__all__ = ["Summary", "summarize", "write_page"]
