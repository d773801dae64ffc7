"""Acquire: from files, archives or addresses to one catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.acquire.archive import is_archive, unpack
from morphoscope.acquire.download import download, part_names
from morphoscope.acquire.folder import read_folder
from morphoscope.acquire.galaxy10 import find_galaxy10, read_galaxy10
from morphoscope.acquire.galaxy_zoo import find_galaxy_zoo, read_galaxy_zoo
from morphoscope.acquire.listing import sub_folders
from morphoscope.acquire.rows import Acquired
from morphoscope.acquire.table import is_table, read_beside_table
from morphoscope.catalog import write_catalogue
from morphoscope.engine import Engine
from morphoscope.errors import MorphoscopeError, SourceError
from morphoscope.recipe import AcquireSettings

__all__ = ["acquire", "inputs"]


def acquire(
    settings: AcquireSettings, *, data: Path | None, out: Path, engine: Engine
) -> dict[str, Any]:
    """Fetch what is to be fetched, read the source, and write ``catalogue`` and ``rejects``.

    Parameters
    ----------
    settings
        Kind of source, its table and columns, and what to download first.
    data
        File or folder of the source; None reads what was downloaded.
    out
        Folder for the catalogue, the rejects, and whatever is downloaded or unpacked.
    engine
        Not used: the disk or the network sets the pace, not the cores.

    Returns
    -------
    dict
        ``source``, ``n``, ``rejects`` (count by reason), ``columns`` and ``warnings``.

    Raises
    ------
    SourceError
        The data are absent, unreadable, not laid out as their kind, or without any image.
    CatalogueError
        The table is unusable.
    DownloadError, ArchiveError, DiskSpaceError
        A file cannot be fetched or unpacked.
    """
    if settings.source == "simulated":
        raise SourceError("simulated galaxies are drawn, not acquired", do="use simulate")
    root = _fetched(settings, _named(settings, data), out)
    found = _read(settings, root, out)
    _require_rows(found, root)
    own = {"source": settings.source, "licence": settings.licence, "citation": settings.citation}
    metadata = {**own, **found.metadata, **{key: text for key, text in own.items() if text}}
    write_catalogue(out / "catalogue.parquet", found.frame, metadata)
    write_catalogue(out / "rejects.parquet", found.rejects, metadata)
    rejects = _counts(found.rejects)
    warnings = list(found.warnings)
    if again := rejects.get("duplicate_id"):
        warnings.append(f"{again:,} rows or images repeat an id; only the first of each is used")
    return {
        "source": settings.source,
        "n": found.frame.height,
        "rejects": rejects,
        "columns": found.frame.columns,
        "warnings": warnings,
    }


def inputs(settings: AcquireSettings, data: Path | None) -> list[Path]:
    """List the files and folders whose content decides the result.

    What is downloaded is not among them: the settings state its SHA-256.
    """
    root = _named(settings, data)
    if root is None:
        return []
    fetched = _fetched_names(settings)
    found: list[Path] = []
    for path in _read_from(settings, root):
        if path.is_dir() and fetched:
            found.extend(p for p in sorted(path.iterdir()) if p.name not in fetched)
        elif path.name not in fetched:
            found.append(path)
    return found


def _read_from(settings: AcquireSettings, root: Path) -> list[Path]:
    try:
        if settings.source == "galaxy_zoo":
            return list(dict.fromkeys(place.path for place in find_galaxy_zoo(root)))
        if settings.source == "galaxy10":
            return [find_galaxy10(root)]
    except MorphoscopeError:
        return [root]
    if settings.source != "table" or is_archive(root):
        return [root]
    table, folder = (root, root.parent) if is_table(root) else (root / settings.table, root)
    if settings.images or not table.is_relative_to(folder):
        return [table, folder / settings.images]
    return [folder]


def _named(settings: AcquireSettings, data: Path | None) -> Path | None:
    if data is None and settings.data:
        return Path(settings.data).expanduser()
    return data


def _fetched_names(settings: AcquireSettings) -> set[str]:
    names = [item.name for item in settings.downloads]
    return {*names, *(part for name in names for part in part_names(name))}


def _is_another(root: Path, settings: AcquireSettings) -> bool:
    return root.is_file() and root.name not in _fetched_names(settings)


def _fetched(settings: AcquireSettings, root: Path | None, out: Path) -> Path:
    """Fetch the downloads and return the file or folder that the source is read from."""
    if root is None and not settings.downloads:
        raise SourceError(
            f"the source {settings.source!r} has no data",
            do="name them with --data PATH or in acquire.data",
        )
    # One file is all of Galaxy10: with another edition at hand there is nothing to fetch.
    if root and settings.source == "galaxy10" and _is_another(root, settings):
        return root
    folder = root or out / "downloads"
    if folder.name in _fetched_names(settings) or folder.is_file():
        folder = folder.parent
    files = [download(item, folder) for item in settings.downloads]
    if root is None:
        return files[0] if len(files) == 1 else folder
    if not root.exists():
        raise SourceError(f"there is no {root}", do="check the path", path=str(root))
    return root


def _read(settings: AcquireSettings, root: Path, out: Path) -> Acquired:
    if settings.source == "galaxy_zoo":
        return read_galaxy_zoo(root, out)
    if settings.source == "galaxy10":
        return read_galaxy10(root)
    if is_archive(root):
        root = _unpacked(root, out / "images")
    if settings.source == "folder":
        return read_folder(root)
    return read_beside_table(settings, root)


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack an archive; where all it holds is one folder, that folder is the root."""
    files = unpack(archive, folder)
    tops = sub_folders(folder)
    alone = len(tops) == 1 and not any(file.parent == folder for file in files)
    return tops[0] if alone else folder


def _require_rows(found: Acquired, root: Path) -> None:
    if found.frame.height:
        return
    counts = _counts(found.rejects)
    looked = found.rejects.filter(reason="label_without_image")["file_loc"].drop_nulls()
    example = f", for instance {looked[0]}" if len(looked) else ""
    raise SourceError(
        f"{root} gives no galaxy with both image and label ({counts}{example})",
        expected="images where the table says they are",
        do="check acquire.images, acquire.file_column and acquire.id_column",
        rejects=counts,
    )


def _counts(rejects: pl.DataFrame) -> dict[str, int]:
    return dict(rejects["reason"].value_counts(sort=True).iter_rows())
