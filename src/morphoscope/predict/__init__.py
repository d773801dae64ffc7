"""A model over a catalogue of any size: streamed, resumable, one row for every input."""

from morphoscope.predict.catalogue import predict

__all__ = ["predict"]
