"""The stage: a population drawn shard by shard, its pictures and its truth."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.catalog import atomic_path, write_catalogue
from morphoscope.engine import Engine
from morphoscope.progress import progress
from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.drawing import drawing_of
from morphoscope.simulate.population import assign_classes

__all__ = ["simulate"]

SHARD = 100
# All other columns of a row are numbers, null where a galaxy has no such thing.
TYPES = {
    "id_str": pl.String,
    "file_loc": pl.String,
    "fits_loc": pl.String,
    "class": pl.String,
    "survey": pl.String,
    "flaws": pl.String,
    "arms": pl.Int64,
    "winding": pl.Int64,
    "near_side": pl.Int64,
    "neighbours": pl.Int64,
    "tails": pl.Int64,
    "shells": pl.Int64,
}


@dataclass(frozen=True)
class Shard:
    """A run of galaxies that one worker draws."""

    number: int
    first: int
    kinds: tuple[str, ...]
    settings: SimulateSettings
    seed: int
    out: Path

    @property
    def images(self) -> Path:
        return self.out / "images" / f"{self.number:04d}"

    @property
    def rows(self) -> Path:
        return self.out / "shards" / f"{self.number:04d}.parquet"


def simulate(settings: SimulateSettings, *, seed: int, out: Path, engine: Engine) -> dict[str, Any]:
    """Draw a population of galaxies, their pictures and the truth about them.

    Shards that an earlier call with the same arguments finished are kept.

    Parameters
    ----------
    settings
        How many, of which classes, and how they are observed.
    seed
        Decides, with a galaxy's index, everything about it.
    out
        Folder for ``images/``, ``shards/``, ``catalogue.parquet`` and ``rejects.parquet``.
    engine
        Where the shards are drawn.

    Returns
    -------
    dict
        ``source``, ``n``, ``rejects`` (none), ``columns``, and ``classes`` (name → n).

    Raises
    ------
    RecipeError
        ``settings.fractions`` names an unknown class or has no share above 0.
    """
    kinds = assign_classes(settings.fractions, settings.n, seed)
    out = out.absolute()
    _discard_partial(out)
    shards = [
        Shard(k, first, tuple(kinds[first : first + SHARD]), settings, seed, out)
        for k, first in enumerate(range(0, settings.n, SHARD))
    ]
    missing = [shard for shard in shards if not shard.rows.exists()]
    done = settings.n - sum(len(shard.kinds) for shard in missing)
    with progress("simulate", settings.n, done=done) as advance:
        for _, drawn in engine.map(_draw_shard, missing):
            advance(drawn)
    frame = pl.concat([pl.read_parquet(shard.rows) for shard in shards])
    _write(out, frame, settings, seed)
    return {
        "source": "simulated",
        "n": frame.height,
        "rejects": {},
        "columns": frame.columns,
        "classes": dict(sorted(Counter(kinds).items())),
    }


def _discard_partial(out: Path) -> None:
    """Remove what a killed process left half-written."""
    for leftover in (*out.glob("images/.*.partial"), *out.glob("**/.*.parquet.*.partial")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _draw_shard(shard: Shard) -> int:
    """Draw the galaxies of one shard; its rows, written last, say that it is whole."""
    if shard.images.exists():
        rows = [_drawn(shard, offset, None) for offset in range(len(shard.kinds))]
    else:
        with atomic_path(shard.images) as folder:
            folder.mkdir()
            rows = [_drawn(shard, offset, folder) for offset in range(len(shard.kinds))]
    schema = {name: TYPES.get(name, pl.Float64) for name in rows[0]}
    with atomic_path(shard.rows) as path:
        pl.DataFrame(rows, schema=schema).write_parquet(path)
    return len(rows)


def _drawn(shard: Shard, offset: int, folder: Path | None) -> dict[str, Any]:
    """Draw one galaxy, write its files if there is a folder, and give its row."""
    index, settings = shard.first + offset, shard.settings
    name = f"simulated-{shard.seed}-{index:06d}"
    drawing = drawing_of(shard.seed, index, shard.kinds[offset], settings)
    files = {}
    for column, suffix, encode in drawing.files(settings):
        files[column] = str(shard.images / f"{name}{suffix}")
        if folder:
            (folder / f"{name}{suffix}").write_bytes(encode())
    return {"id_str": name, **files, **drawing.row()}


def _write(out: Path, frame: pl.DataFrame, settings: SimulateSettings, seed: int) -> None:
    metadata = {
        "source": "simulated",
        "licence": "CC0-1.0",
        "citation": "drawn by Morphoscope",
        "seed": seed,
        "simulate": settings.model_dump(),
    }
    rejects = frame.clear().with_columns(pl.Series("reason", [], dtype=pl.String))
    write_catalogue(out / "rejects.parquet", rejects, metadata)
    write_catalogue(out / "catalogue.parquet", frame, metadata)
