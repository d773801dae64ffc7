"""A pure function over the image files of a catalogue: streamed, resumable, a row for every one."""

from morphoscope.streaming.run import Streamed, stream
from morphoscope.streaming.task import MISSING, Rows, Task, flag_of

__all__ = ["MISSING", "Rows", "Streamed", "Task", "flag_of", "stream"]
