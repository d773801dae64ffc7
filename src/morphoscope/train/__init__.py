"""Train: networks from the image store, with checkpoints at any step."""

from morphoscope.train.stage import train

__all__ = ["train"]
