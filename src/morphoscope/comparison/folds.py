"""One store a fold: the same images, and a catalogue with another split.

The images are prepared once. What differs from fold to fold is the column ``split``, which the
split stage draws as it does for one fold.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import polars as pl

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.errors import SplitError
from morphoscope.prepare.store import CATALOGUE, DESCRIPTION, IMAGES
from morphoscope.split import split
from morphoscope.split.kept import ASSIGNMENTS
from morphoscope.stages import Job

__all__ = ["draw_folds", "fold_stores"]


def draw_folds(job: Job, out: Path) -> list[Path]:
    """Draw the split of every fold; the catalogues, in the order of the folds.

    Raises
    ------
    SplitError
        A fold would be empty.
    """
    settings = job.recipe.split
    catalogues = []
    for fold in range(settings.folds):
        folder = out / str(fold)
        folder.mkdir(parents=True, exist_ok=True)
        # Those of the split stage decide who is in which fold.
        shutil.copyfile(job.folder("split") / ASSIGNMENTS, folder / ASSIGNMENTS)
        split(
            settings.model_copy(update={"fold": fold}),
            catalogue=job.catalogue("clean"),
            seed=job.recipe.seed,
            out=folder,
        )
        catalogues.append(folder / "catalogue.parquet")
    _require_each_once(catalogues)
    return catalogues


def fold_stores(store: Path, catalogues: list[Path], out: Path) -> list[Path]:
    """Make a store of every fold that shares the images of ``store``."""
    source = read_catalogue(store / CATALOGUE)
    folders = []
    for fold, path in enumerate(catalogues):
        folder = out / str(fold)
        folder.mkdir(parents=True, exist_ok=True)
        parts = pl.read_parquet(path, columns=["id_str", "split"])
        frame = source.frame.drop("split").join(
            parts, on="id_str", how="left", maintain_order="left"
        )
        write_catalogue(folder / CATALOGUE, frame, source.metadata)
        for name in (IMAGES, DESCRIPTION):
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(store / name, folder))
        folders.append(folder)
    return folders


def _require_each_once(catalogues: list[Path]) -> None:
    tested = pl.concat(
        pl.read_parquet(path, columns=["id_str", "split"]).filter(pl.col("split") == "test")
        for path in catalogues
    )
    n = pl.read_parquet(catalogues[0], columns=["id_str"]).height
    if tested["id_str"].n_unique() != n or tested.height != n:
        raise SplitError(
            f"the {len(catalogues)} folds test {tested.height:,} images of {n:,} galaxies",
            expected="every galaxy in one fold",
            do="remove the folder split of the run and compare again",
        )
