"""Predict: from images to a catalogue of what a model says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.engine import Engine
from morphoscope.predict.answers import answer, trained_sizes
from morphoscope.predict.columns import counted
from morphoscope.streaming import Task, stream

__all__ = ["predict"]


def predict(
    bundle: str | Path,
    images: str | Path,
    *,
    out: Path,
    engine: Engine,
    id_column: str = "",
    file_column: str = "",
    shard_rows: int = 65_536,
    batch: int = 64,
    force: bool = False,
) -> dict[str, Any]:
    """Classify images: one row for every input, in its order, also for the unreadable.

    A run that was cut off goes on when it is called again: whole parts are kept. No memory grows
    with the number of images, unless ``out`` is FITS, VOTable, ECSV or CSV.

    Parameters
    ----------
    bundle
        Folder of a model, or name of a shipped one.
    images, out, engine, id_column, file_column, shard_rows, batch, force
        As for `morphoscope.streaming.stream`.

    Returns
    -------
    dict
        ``n``, ``classes`` and ``flagged`` (counts), ``kept`` (rows of an earlier, cut-off run),
        ``images_per_s`` of this run, ``model``, ``out``, ``warnings`` (what a person should know,
        one sentence each; of the images of this run).

    Raises
    ------
    BundleError, SourceError, CatalogueError
        The model, the images or the table cannot be used, or ``out`` cannot be written.
    StageError
        ``out`` holds, or another process makes, the result of another run; or it is the input,
        or holds parts that this package did not write.
    """
    opened = open_bundle(bundle)
    done = stream(
        _task(opened, engine.threads),
        images,
        out=out,
        engine=engine,
        id_column=id_column,
        file_column=file_column,
        shard_rows=shard_rows,
        batch=batch,
        force=force,
    )
    return {
        "n": done.n,
        **done.counts,
        "kept": done.kept,
        "images_per_s": done.images_per_s,
        "model": opened.id,
        "out": str(done.out),
        "warnings": [*done.warnings, *_size_warnings(opened, **done.noted)],
    }


def _task(bundle: Bundle, threads: int) -> Task:
    folder = str(bundle.folder.absolute())
    metadata = {
        "model": bundle.id,
        "model_name": bundle.name,
        "classes": bundle.classes,
        "sets": bundle.sets,
    }
    return Task(
        verb="predict",
        rows=functools.partial(answer, folder=folder, model=bundle.id, threads=threads),
        decided_by={"model": bundle.id},
        metadata=metadata,
        counted=counted(bundle),
    )


def _size_warnings(bundle: Bundle, other_size: int = 0, good: int = 0) -> list[str]:
    # The view of a galaxy is the same in a larger frame.
    if 2 * other_size <= good or bundle.preparation.view == "galaxy":
        return []
    sizes = trained_sizes(bundle)
    commonest = ", ".join(sorted(sizes, key=lambda size: -sizes[size])[:3])
    return [
        f"{other_size:,} of {good:,} images are not of a size that the model was trained on "
        f"({commonest}{', …' if len(sizes) > 3 else ''}): it knows that pixel scale and frame only"
    ]
