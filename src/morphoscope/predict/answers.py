"""A few images to probabilities, on whichever worker: read, prepare, ask the model."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.errors import ImageError, MorphoscopeError
from morphoscope.prepare import prepare_file
from morphoscope.recipe import PrepareSettings

__all__ = ["Answer", "Chunk", "answer"]

MISSING = "missing"
FAILED = "failed"


@dataclass(frozen=True)
class Chunk:
    """Neighbouring rows of one shard.

    Attributes
    ----------
    shard, start
        Where they belong.
    files
        Paths, or None where the table names none.
    bundle, model
        Folder and id of the model.
    threads
        CPU threads of the model.
    """

    shard: int
    start: int
    files: tuple[str | None, ...]
    bundle: str
    model: str
    threads: int


@dataclass(frozen=True)
class Answer:
    """What the model says of a chunk.

    Attributes
    ----------
    probabilities
        Shape ``(n, class)``, float32; not-a-number where there is a flag.
    flags
        Reason why there is no answer, else None.
    """

    shard: int
    start: int
    probabilities: NDArray[np.float32]
    flags: list[str | None]


def answer(chunk: Chunk) -> Answer:
    """Read, prepare and classify the images of a chunk."""
    bundle = _opened(chunk.bundle, chunk.model, chunk.threads)
    prepared = [_prepare(file, bundle.preparation) for file in chunk.files]
    images = [image for image in prepared if not isinstance(image, str)]
    probabilities = np.full((len(prepared), len(bundle.classes)), np.nan, np.float32)
    flags = [image if isinstance(image, str) else None for image in prepared]
    if images:
        probabilities[[flag is None for flag in flags]] = bundle.predict(np.stack(images))
    return Answer(chunk.shard, chunk.start, probabilities, flags)


@functools.lru_cache(maxsize=1)
def _opened(folder: str, model: str, threads: int) -> Bundle:
    """Bundle of a worker, kept from chunk to chunk; another id under the same path is another."""
    return open_bundle(folder, threads=threads)


def _prepare(file: str | None, settings: PrepareSettings) -> NDArray[np.uint8] | str:
    """Prepared image, or the reason why there is none."""
    if file is None:
        return MISSING
    try:
        return prepare_file(file, settings)
    except ImageError as error:
        return error.reason
    except MorphoscopeError:
        raise
    except Exception:
        # Among millions of files one finds a defect that nobody thought of; it has its own flag.
        return FAILED
