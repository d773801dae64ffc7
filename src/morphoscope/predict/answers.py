"""A few images to probabilities, on whichever worker: read, prepare, ask the model."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.clean.checks import blank
from morphoscope.errors import ImageError, MorphoscopeError
from morphoscope.images import image_size
from morphoscope.prepare import prepare_file
from morphoscope.prepare.shards import size_name
from morphoscope.recipe import CleanSettings, PrepareSettings

__all__ = ["Answer", "Chunk", "answer", "trained_sizes"]

MISSING = "missing"
FAILED = "failed"
BLANK = "blank"
LIMITS = CleanSettings()


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
    other_size
        How many images with an answer have a size that the model was not trained on.
    """

    shard: int
    start: int
    probabilities: NDArray[np.float32]
    flags: list[str | None]
    other_size: int = 0


def answer(chunk: Chunk) -> Answer:
    """Read, prepare and classify the images of a chunk."""
    bundle = _opened(chunk.bundle, chunk.model, chunk.threads)
    prepared = [_prepare(file, bundle.preparation) for file in chunk.files]
    images = [image for image in prepared if not isinstance(image, str)]
    probabilities = np.full((len(prepared), len(bundle.classes)), np.nan, np.float32)
    flags = [image if isinstance(image, str) else None for image in prepared]
    if images:
        probabilities[[flag is None for flag in flags]] = bundle.predict(np.stack(images))
    good = [file for file, flag in zip(chunk.files, flags, strict=True) if file and flag is None]
    other_size = _other_size(good, trained_sizes(bundle))
    return Answer(chunk.shard, chunk.start, probabilities, flags, other_size)


def trained_sizes(bundle: Bundle) -> dict[str, int]:
    """How many images of each size the model was trained on; empty where the bundle tells none."""
    return dict(bundle.manifest.get("provenance", {}).get("data", {}).get("sizes", {}))


def _other_size(files: list[str], known: dict[str, int]) -> int:
    if not known:
        return 0
    other = 0
    for file in files:
        # Headers that one reader cannot read another could: it is no reason to lose the answer.
        with suppress(ImageError):
            other += size_name(*image_size(file)) not in known
    return other


@functools.lru_cache(maxsize=1)
def _opened(folder: str, model: str, threads: int) -> Bundle:
    """Bundle of a worker, kept from chunk to chunk; another id under the same path is another."""
    return open_bundle(folder, threads=threads)


def _prepare(file: str | None, settings: PrepareSettings) -> NDArray[np.uint8] | str:
    """Prepared image, or the reason why there is none."""
    if file is None:
        return MISSING
    try:
        image = prepare_file(file, settings)
    except ImageError as error:
        return error.reason
    except MorphoscopeError:
        raise
    except Exception:
        # Among millions of files one finds a defect that nobody thought of; it has its own flag.
        return FAILED
    return BLANK if blank(image.transpose(1, 2, 0), LIMITS) else image
