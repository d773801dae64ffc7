"""A few images to what a model says, on whichever worker: read, prepare, ask."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.clean.checks import blank
from morphoscope.errors import ImageError
from morphoscope.images import image_size
from morphoscope.predict.columns import columns_of
from morphoscope.prepare import prepare_file
from morphoscope.prepare.pixels import pixel_type
from morphoscope.prepare.shards import size_name
from morphoscope.recipe import CleanSettings, PrepareSettings
from morphoscope.streaming import MISSING, Rows, flag_of

__all__ = ["answer", "opened", "read_images", "said", "trained_sizes"]

BLANK = "blank"
LIMITS = CleanSettings()


def answer(files: tuple[str | None, ...], *, folder: str, model: str, threads: int) -> Rows:
    """Read, prepare and classify images.

    Parameters
    ----------
    files
        Paths, or None where the table names none.
    folder, model
        Folder and id of the model.
    threads
        CPU threads of the model.

    Returns
    -------
    Rows
        The columns of `columns_of`, null where there is a flag. It notes how many images have an
        answer (``good``), and how many of those a size that the model was not trained on
        (``other_size``).
    """
    bundle = opened(folder, model, threads)
    images, flags = read_images(files, bundle)
    seen = [file for file, flag in zip(files, flags, strict=True) if file and flag is None]
    noted = {"good": len(seen), "other_size": _other_size(seen, trained_sizes(bundle))}
    return Rows(said(bundle, images, flags), flags, noted)


def read_images(
    files: tuple[str | None, ...], bundle: Bundle
) -> tuple[NDArray[Any], list[str | None]]:
    """Prepared images of those files that can be used, and a flag or None for each of all."""
    prepared = [_prepare(file, bundle.preparation) for file in files]
    flags = [image if isinstance(image, str) else None for image in prepared]
    return _stacked(bundle, [image for image in prepared if not isinstance(image, str)]), flags


def said(bundle: Bundle, images: NDArray[Any], flags: list[str | None]) -> dict[str, pa.Array]:
    """Columns of `columns_of` for inputs of which those without a flag have an image."""
    good = np.array([flag is None for flag in flags])
    return columns_of(bundle, _ask(bundle, images, good), good, _unlike(bundle, images, good))


@functools.lru_cache(maxsize=1)
def opened(folder: str, model: str, threads: int) -> Bundle:
    """Bundle of a worker, kept from chunk to chunk; another id under the same path is another."""
    return open_bundle(folder, threads=threads)


def trained_sizes(bundle: Bundle) -> dict[str, int]:
    """How many images of each size the model was trained on; empty where the bundle tells none."""
    return dict(bundle.manifest.get("provenance", {}).get("data", {}).get("sizes", {}))


def _stacked(bundle: Bundle, images: list[NDArray[Any]]) -> NDArray[Any]:
    if images:
        return np.stack(images)
    return np.empty((0, *bundle.shape), pixel_type(bundle.preparation))


def _unlike(
    bundle: Bundle, images: NDArray[Any], good: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """Which inputs are unlike the training images; None where the model cannot tell."""
    found = bundle.familiarity(images)
    if found is None:
        return None
    distances, limit = found
    unlike = np.zeros(len(good), bool)
    unlike[good] = distances > limit
    return unlike


def _ask(bundle: Bundle, images: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Answers of a row for every input, not-a-number where there is no image."""
    found = bundle.predict(images)
    answers = np.full((len(good), *found.shape[1:]), np.nan, np.float32)
    answers[good] = found
    return answers


def _other_size(files: list[str], known: dict[str, int]) -> int:
    if not known:
        return 0
    other = 0
    for file in files:
        # Headers that one reader cannot read another could: it is no reason to lose the answer.
        with suppress(ImageError):
            other += size_name(*image_size(file)) not in known
    return other


def _prepare(file: str | None, settings: PrepareSettings) -> NDArray[Any] | str:
    """Prepared image, or the reason why there is none."""
    if file is None:
        return MISSING
    try:
        image = prepare_file(file, settings)
    except Exception as error:
        return flag_of(error)
    return BLANK if blank(image.transpose(1, 2, 0), LIMITS) else image
