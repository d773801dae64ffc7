"""From votes and files to classes and usable images; what is left out is kept with its reason."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.catalog import atomic_path, free_names, read_catalogue, write_catalogue
from morphoscope.clean.angles import with_inclinations
from morphoscope.clean.checks import Look, Shard, look_at_shard, look_carefully
from morphoscope.clean.duplicates import find_duplicates
from morphoscope.clean.labels import classify, compare_counts
from morphoscope.engine import Engine
from morphoscope.errors import LabelError
from morphoscope.progress import progress
from morphoscope.recipe import CleanSettings

__all__ = ["classify", "clean", "find_duplicates"]

SHARD = 256
SHARDS = ".shards"
LOOKS = pl.Schema({"ny": pl.Int64, "nx": pl.Int64, "pixel_sha256": pl.String, "reason": pl.String})


def clean(settings: CleanSettings, *, catalogue: Path, out: Path, engine: Engine) -> dict[str, Any]:
    """Give classes, look at every image, and part the usable galaxies from the rejects.

    Parameters
    ----------
    settings
        Label rules and the limits of the checks.
    catalogue
        The catalogue that ``acquire`` wrote; its rejects beside it are carried on.
    out
        Folder for ``catalogue.parquet`` and ``rejects.parquet``. Images that were looked at before
        an interruption are not looked at again.
    engine
        Where the images are decoded.

    Returns
    -------
    dict
        ``n_in``, ``n``, ``classes`` (name → n, expect), ``rejects`` (reason → n; of this stage)
        and ``warnings``.

    Raises
    ------
    LabelError
        A rule cannot be applied, or a class has no usable image.
    """
    source = read_catalogue(catalogue)
    labels = classify(source.frame.lazy(), settings)
    warnings = compare_counts(labels, settings)
    frame = _with_labels(source.frame, labels, settings)
    if settings.inclination:
        disc = settings.classes[0].name if settings.classes else None
        frame = with_inclinations(frame, settings.inclination, disc)
    labelled = frame.filter(pl.col("reason").is_null())
    looked = _with_looks(labelled, settings, out / SHARDS, engine)
    rejects = pl.concat(
        [
            frame.filter(pl.col("reason").is_not_null()),
            looked.filter(pl.col("reason").is_not_null()),
        ],
        how="diagonal",
    )
    kept = looked.filter(pl.col("reason").is_null()).drop("reason")
    _require_images(kept, rejects, labels)
    classes = _in_order(kept, settings, source.metadata)
    metadata = {**source.metadata, "classes": classes}
    if settings.inclination:
        metadata["task"] = "inclination"
    write_catalogue(out / "rejects.parquet", _carried(catalogue, rejects), metadata)
    write_catalogue(out / "catalogue.parquet", kept, metadata)
    shutil.rmtree(out / SHARDS, ignore_errors=True)
    counts = _counts(kept["class"])
    expected = {rule.name: rule.expect for rule in settings.classes}
    return {
        "n_in": len(source),
        "n": kept.height,
        "classes": {name: {"n": counts[name], "expect": expected.get(name)} for name in classes},
        "rejects": _counts(rejects["reason"].str.split(":").list.first()),
        "warnings": warnings,
    }


def _with_labels(
    frame: pl.DataFrame, labels: pl.DataFrame, settings: CleanSettings
) -> pl.DataFrame:
    """Add ``class`` and ``reason``; the source's own columns of such names become ``x_source``."""
    taken = ["ny", "nx", "pixel_sha256", "reason", *(["class"] if settings.classes else [])]
    frame = free_names(frame, taken)
    return frame.with_columns(labels.select("class", "reason").cast(pl.String))


def _with_looks(
    labelled: pl.DataFrame, settings: CleanSettings, folder: Path, engine: Engine
) -> pl.DataFrame:
    looks = _look(labelled["file_loc"].to_list(), settings, folder, engine)
    looked = labelled.drop("reason").hstack(looks)
    if settings.duplicates:
        good = looked["reason"].is_null()
        found = find_duplicates(looked.filter(good))
        reason = looked["reason"].scatter(good.arg_true(), found)
        looked = looked.with_columns(reason)
    return looked


def _look(
    files: list[str | None], settings: CleanSettings, folder: Path, engine: Engine
) -> pl.DataFrame:
    """Look at images in shards; each shard is written down as soon as it is done."""
    starts = range(0, len(files), SHARD)
    shards = [Shard(tuple(files[start : start + SHARD]), settings) for start in starts]
    places = [folder / f"{_key(shard)}.parquet" for shard in shards]
    to_do = [index for index, place in enumerate(places) if not place.exists()]
    done = len(files) - sum(len(shards[index].files) for index in to_do)
    with progress("clean", len(files), done=done) as advance:
        for number, looks in engine.map(
            look_at_shard, [shards[index] for index in to_do], careful=look_carefully
        ):
            _write_shard(places[to_do[number]], looks)
            advance(len(looks))
    return pl.concat([LOOKS.to_frame(), *(pl.read_parquet(place) for place in places)])


def _write_shard(place: Path, looks: list[Look]) -> None:
    with atomic_path(place) as path:
        pl.DataFrame(looks, schema=LOOKS, orient="row").write_parquet(path)


def _key(shard: Shard) -> str:
    """Name of a shard: what it asks of which files."""
    asked = f"{shard.settings.model_dump_json()}\n{shard.files!r}"
    return hashlib.sha256(asked.encode()).hexdigest()[:32]


def _require_images(kept: pl.DataFrame, rejects: pl.DataFrame, labels: pl.DataFrame) -> None:
    named = sorted(labels["class"].drop_nulls().unique())
    if not named:
        raise LabelError(
            f"none of {labels.height:,} rows has a class ({_told(rejects)})",
            do="mend the rules, or the column 'class'",
        )
    for name in sorted(set(named) - set(kept["class"])):
        told = _told(rejects.filter(pl.col("class") == name))
        raise LabelError(
            f"class {name!r} has no usable image ({told})",
            do="look at the rejects; drop the class with a rule of [[clean.drop]] or mend the data",
            rule=name,
        )


def _told(rejects: pl.DataFrame) -> str:
    counts = _counts(rejects["reason"].str.split(":").list.first())
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.items())


def _in_order(kept: pl.DataFrame, settings: CleanSettings, metadata: dict[str, Any]) -> list[str]:
    """Class names in the rules' order, else in the source's, else sorted."""
    found = set(kept["class"])
    order = [rule.name for rule in settings.classes] or list(metadata.get("classes", []))
    known = [name for name in order if name in found]
    return known + sorted(found - set(known))


def _carried(catalogue: Path, rejects: pl.DataFrame) -> pl.DataFrame:
    """Put the rejects of the stage before ahead of these."""
    before = catalogue.with_name("rejects.parquet")
    if not before.exists():
        return rejects
    return pl.concat([read_catalogue(before).frame, rejects], how="diagonal_relaxed")


def _counts(values: pl.Series) -> dict[str, int]:
    counts = values.value_counts(sort=True)
    return dict(sorted(counts.iter_rows(), key=lambda pair: (-pair[1], pair[0])))
