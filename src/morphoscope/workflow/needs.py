"""What a job asks a site for: of the recipe's section ``engine``, or what is usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from morphoscope.recipe import Recipe
from morphoscope.recipe.engine import seconds_of

__all__ = ["Needs", "needs_of"]

MEGABYTE = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}


@dataclass(frozen=True)
class Needs:
    """What a job asks a site for."""

    cores: int
    memory_mb: int
    runtime_s: int
    gpus: int = 0


# Where the recipe says nothing: tens of thousands of images of 128 pixels, a small network.
USUAL: Mapping[str, Needs] = {
    "acquire": Needs(4, 4096, 4 * 3600),
    "clean": Needs(4, 4096, 2 * 3600),
    "split": Needs(1, 2048, 1800),
    "prepare": Needs(4, 8192, 4 * 3600),
    "train": Needs(8, 16384, 24 * 3600),
    "evaluate": Needs(4, 8192, 4 * 3600),
    "export": Needs(2, 4096, 3600),
}


def needs_of(stage: str, recipe: Recipe) -> Needs:
    """What the recipe says of a stage's workers, one of which is a job; else what is usual."""
    asked, usual = recipe.engine.at(stage), USUAL[stage]
    return Needs(
        asked.cores or usual.cores,
        _megabytes(asked.memory) if asked.memory else usual.memory_mb,
        seconds_of(asked.walltime) if asked.walltime else usual.runtime_s,
        asked.gpus,
    )


def _megabytes(memory: str) -> int:
    text = memory.lower().replace(" ", "").removesuffix("b").removesuffix("i")
    return max(1, round(float(text[:-1]) * MEGABYTE[text[-1]]))
