"""Which of the new images are looked at, and what the model says of them."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from morphoscope.acquire.listing import stem
from morphoscope.bundle import Bundle
from morphoscope.catalog import write_catalogue
from morphoscope.engine import Engine
from morphoscope.familiarity import describe
from morphoscope.predict.answers import opened, read_images, said
from morphoscope.streaming import Rows, Task, stream
from morphoscope.streaming.inputs import Listing, write_listing
from morphoscope.streaming.shards import read_metadata

__all__ = ["Asked", "ask", "catalogue_of"]

SHARD_ROWS = 65_536
DESCRIPTORS = "descriptors"


@dataclass(frozen=True)
class Asked:
    """What is known of new images.

    Attributes
    ----------
    frame
        A row for every image looked at: ``id_str``, ``file_loc``, the columns of a predicted
        catalogue, ``flag``, ``descriptors`` (null without a density of the training images) and
        ``drawn``: whether chance chose it, and not its label alone.
    n_images
        How many images there are.
    """

    frame: pl.DataFrame
    n_images: int

    @property
    def drawn(self) -> pl.DataFrame:
        """Those that stand for all."""
        return self.frame.filter(pl.col("drawn"))

    @property
    def descriptors(self) -> NDArray[np.float64]:
        """Numbers of how the drawn images look ``(n, d)``."""
        rows = self.drawn[DESCRIPTORS].drop_nulls().to_list()
        return np.array(rows, np.float64) if rows else np.empty((0, 0))


def ask(
    bundle: Bundle,
    images: str | Path,
    *,
    sample: int,
    wanted: Collection[str],
    engine: Engine,
    seed: int = 0,
    id_column: str = "",
    file_column: str = "",
) -> Asked:
    """Ask a model about a random sample of images, and about those that have a label.

    Parameters
    ----------
    bundle
        The model.
    images
        As for `morphoscope.predict.predict`.
    sample
        Number of images drawn; 0: all.
    wanted
        Names of galaxies, or of their files without suffix, that are asked about in any case.
    engine
        Where the work runs.
    seed
        Decides the draw.
    id_column, file_column
        Columns of a table of images; empty: found by their usual names.

    Raises
    ------
    SourceError, CatalogueError
        The images cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="fitness-") as place:
        folder = Path(place)
        columns = {"id_column": id_column, "file_column": file_column}
        path = folder / "listing.parquet"
        listing = write_listing(images, path, shard_rows=SHARD_ROWS, **columns)
        chosen = _chosen(listing, sample, set(wanted), seed)
        write_catalogue(folder / "chosen.parquet", chosen.drop("drawn"), {})
        out = folder / "asked.parquet"
        stream(_task(bundle, engine.threads), folder / "chosen.parquet", out=out, engine=engine)
        frame = pl.read_parquet(out, memory_map=False).with_columns(chosen["drawn"])
    return Asked(frame, listing.rows)


def catalogue_of(bundle: Bundle, images: str | Path) -> pl.DataFrame | None:
    """Whole catalogue that this very model predicted, if `images` is one; else None."""
    path = Path(images).expanduser()
    if path.suffix != ".parquet" or not path.is_file():
        return None
    if read_metadata(path).get("model") != bundle.id:
        return None
    return pl.read_parquet(path)


def _chosen(listing: Listing, sample: int, wanted: set[str], seed: int) -> pl.DataFrame:
    """Rows of the sample and those wanted, in the order of the listing."""
    drawn = np.arange(listing.rows)
    if 0 < sample < listing.rows:
        generator = np.random.default_rng(seed)
        drawn = np.sort(generator.choice(listing.rows, sample, replace=False, shuffle=False))
    parts = []
    for index in range(listing.shards):
        first = index * listing.shard_rows
        frame = pl.DataFrame(listing.shard(index))
        # Keep what the draw hit in this shard, and what has a label.
        low, high = np.searchsorted(drawn, [first, first + frame.height])
        hit = np.zeros(frame.height, bool)
        hit[drawn[low:high] - first] = True
        frame = frame.with_columns(pl.Series("drawn", hit))
        parts.append(frame.filter(pl.col("drawn") | _is_wanted(frame, wanted)))
    return pl.concat(parts)


def _is_wanted(frame: pl.DataFrame, wanted: set[str]) -> pl.Series:
    named = frame["id_str"].is_in(list(wanted)).fill_null(False)
    if not wanted:
        return named
    stems = [stem(file) if file else "" for file in frame["file_loc"].to_list()]
    return named | pl.Series([one in wanted for one in stems], dtype=pl.Boolean)


def _task(bundle: Bundle, threads: int) -> Task:
    folder = str(bundle.folder.absolute())
    rows = functools.partial(_look, folder=folder, model=bundle.id, threads=threads)
    return Task(verb="fitness", rows=rows, decided_by={"model": bundle.id})


def _look(files: tuple[str | None, ...], *, folder: str, model: str, threads: int) -> Rows:
    """Answers of the model and the descriptors of the images."""
    bundle = opened(folder, model, threads)
    images, flags = read_images(files, bundle)
    columns = said(bundle, images, flags)
    columns[DESCRIPTORS] = _described(bundle, images, flags)
    return Rows(columns, flags)


def _described(bundle: Bundle, images: NDArray[np.uint8], flags: list[str | None]) -> pa.Array:
    found = iter(describe(images).tolist() if bundle.familiar and len(images) else [])
    rows = [next(found, None) if flag is None else None for flag in flags]
    return pa.array(rows, pa.list_(pa.float64()))
