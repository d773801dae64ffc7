"""The Kaggle Galaxy Challenge: 61,578 images and 37 vote fractions, unpacked or as downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import polars as pl

from morphoscope.acquire.archive import open_zip, unpack
from morphoscope.acquire.listing import as_text, hidden, images_within, is_image, sub_folders
from morphoscope.acquire.rows import Acquired, as_ids
from morphoscope.acquire.table import pair_by_id, read_labels
from morphoscope.catalog import free_names
from morphoscope.errors import ArchiveError, CatalogueError, SourceError
from morphoscope.provenance import file_digest

__all__ = ["VOTES", "Place", "find_galaxy_zoo", "read_galaxy_zoo"]

IMAGES = "images_training_rev1"
TABLE = "training_solutions_rev1"
OUTER = "galaxy-zoo-the-galaxy-challenge.zip"
ID = "GalaxyID"
PUBLISHED = 61_578
ANSWERS = {1: 3, 2: 2, 3: 2, 4: 2, 5: 4, 6: 2, 7: 3, 8: 7, 9: 3, 10: 3, 11: 6}
VOTES = tuple(f"Class{q}.{a}" for q, n in ANSWERS.items() for a in range(1, n + 1))
LICENCE = "Competition rules of Kaggle's Galaxy Zoo - The Galaxy Challenge"
CITATION = "Willett et al. 2013, MNRAS 435, 2835 (Galaxy Zoo 2)"


@dataclass(frozen=True)
class Place:
    """Where something stands: a file or folder, or the zip ``inner`` inside the zip ``path``."""

    path: Path
    inner: str = ""


def read_galaxy_zoo(root: Path, out: Path) -> Acquired:
    """Read the challenge's training images and votes.

    Parameters
    ----------
    root
        Folder that holds the files, unpacked or not, or the one outer zip.
    out
        Folder for what must be unpacked; files already whole in it are kept.

    Raises
    ------
    SourceError
        The images or the table are not there; it says what was looked for.
    ArchiveError
        An archive is damaged.
    """
    images, table = find_galaxy_zoo(root)
    path = _unpacked_table(table, out)
    frame = read_labels(path, ID)
    if ID not in frame.columns:
        raise CatalogueError(
            f"{path} has no column {ID!r}",
            expected=f"{ID} and {VOTES[0]} … {VOTES[-1]}",
            do=f"take {TABLE}.csv as Kaggle ships it",
            missing=[ID],
        )
    ids = as_ids(frame[ID], path.name)
    files = _unpacked_images(images, out)
    unknown = pl.lit(None, pl.Float64)
    frame = free_names(frame, ("id_str", "file_loc", "ra", "dec", "reason"))
    frame = frame.with_columns(unknown.alias("ra"), unknown.alias("dec"))
    usable, rejects = pair_by_id(frame, ids, files)
    metadata = {
        "table": path.name,
        "table_sha256": file_digest(path),
        "licence": LICENCE,
        "citation": CITATION,
    }
    return Acquired(usable, rejects, metadata, _warnings(frame, usable.height))


def _warnings(frame: pl.DataFrame, n: int) -> list[str]:
    warnings = []
    missing = [name for name in VOTES if name not in frame.columns]
    if missing:
        warnings.append(f"the table lacks {len(missing)} of 37 votes: {', '.join(missing)}")
    if n != PUBLISHED:
        warnings.append(f"{n:,} galaxies have image and votes; the challenge has {PUBLISHED:,}")
    return warnings


def find_galaxy_zoo(root: Path) -> tuple[Place, Place]:
    """Find the images and the table, in this order: unpacked, zipped, zipped in a zip.

    Raises
    ------
    SourceError
        One of them is not there.
    ArchiveError
        One of them is not there, and a zip that may hold it is damaged.
    """
    if not root.exists():
        raise SourceError(f"there is no {root}", do="check the path", path=str(root))
    zips = [root] if root.is_file() and root.stem not in (IMAGES, TABLE) else []
    folders = [] if zips else _folders(root)
    zips += [p for folder in folders for p in sorted(folder.glob("*.zip"))]
    outer = [p for p in zips if p.stem not in (IMAGES, TABLE)]
    images = next(_image_places(folders, outer), None)
    table = next(_table_places(folders, outer), None)
    if images and table:
        return images, table
    for path in outer:
        with open_zip(path):
            pass
    names = (f"{IMAGES}/ with images, {IMAGES}.zip", f"{TABLE}.csv, {TABLE}.zip")
    raise SourceError(
        f"{root} has no {'images' if table else 'table of votes'} of the Galaxy Challenge",
        expected=f"{names[0] if table else names[1]}, or {OUTER} that holds them",
        do="download them from Kaggle's Galaxy Zoo - The Galaxy Challenge, or name their folder",
        path=str(root),
    )


def _folders(root: Path) -> list[Path]:
    start = root if root.is_dir() and root.name != IMAGES else root.parent
    return [start, *(folder for folder in sub_folders(start) if folder.name != IMAGES)]


def _image_places(folders: list[Path], outer: list[Path]) -> Iterator[Place]:
    for folder in folders:
        if (folder / IMAGES).is_dir() and images_within(folder / IMAGES):
            yield Place(folder / IMAGES)
        if (folder / f"{IMAGES}.zip").is_file():
            yield Place(folder / f"{IMAGES}.zip")
    for path in outer:
        for name in _names(path):
            if PurePosixPath(name).name == f"{IMAGES}.zip":
                yield Place(path, name)
            elif _training_image(name, below=IMAGES):
                yield Place(path)


def _table_places(folders: list[Path], outer: list[Path]) -> Iterator[Place]:
    for folder in folders:
        for path in (folder / f"{TABLE}.csv", folder / f"{TABLE}.zip"):
            if path.is_file():
                yield Place(path)
    for path in outer:
        for name in _names(path):
            if PurePosixPath(name).name == f"{TABLE}.zip":
                yield Place(path, name)
            elif _table_file(name):
                yield Place(path)


def _names(path: Path) -> list[str]:
    try:
        with open_zip(path) as archive:
            return [name for name in archive.namelist() if not hidden(name)]
    except ArchiveError:
        return []


def _training_image(name: str, below: str) -> str | None:
    path = PurePosixPath(name)
    wanted = is_image(path.name) and not hidden(name) and (not below or below in path.parts)
    return path.name if wanted else None


def _table_file(name: str) -> str | None:
    path = PurePosixPath(name)
    return path.name if path.name == f"{TABLE}.csv" and not hidden(name) else None


def _unpacked_images(place: Place, out: Path) -> list[str]:
    if place.path.is_dir():
        return images_within(place.path)
    # Kaggle's outer zip may hold other images too, its own inner zip none but these.
    below = "" if place.inner or place.path.stem == IMAGES else IMAGES
    files = unpack(
        place.path, out / "images", inner=place.inner, place=partial(_training_image, below=below)
    )
    return sorted(as_text(str(file.absolute())) for file in files)


def _unpacked_table(place: Place, out: Path) -> Path:
    if place.path.suffix == ".csv":
        return place.path
    files = unpack(place.path, out / "images", inner=place.inner, place=_table_file)
    if not files:
        raise SourceError(
            f"{place.inner or place.path} holds no {TABLE}.csv", do="download it again"
        )
    return files[0]
