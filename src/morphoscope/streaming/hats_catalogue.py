"""HATS: catalogues in HEALPix partitions, read, and written with the same pixels.

Source: the IVOA note "HATS: A Standard for the Hierarchical Adaptive Tiling Scheme in the Virtual
Observatory" (2025); the library `hats` reads and writes what it says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from morphoscope.errors import CatalogueError, MissingDependencyError, SourceError
from morphoscope.streaming.parquet_source import ParquetSource

__all__ = ["hats_sources", "is_hats", "write_hats"]

PROPERTIES = ("hats.properties", "properties", "collection.properties")
DATASET = "dataset"
WRITTEN = [*PROPERTIES[:2], "partition_info.csv", f"{DATASET}/_common_metadata"]


def is_hats(folder: Path) -> bool:
    """Whether a folder is a HATS catalogue, or would be one with its properties."""
    # `properties` alone is also what HiPS, a folder of pictures, is described by.
    described = any((folder / name).is_file() for name in (PROPERTIES[0], PROPERTIES[2]))
    return described or any((folder / DATASET).glob("Norder=*"))


def hats_sources(folder: Path, columns: tuple[str, str]) -> list[ParquetSource]:
    """Partitions of a catalogue, in the order of its pixels.

    Raises
    ------
    MissingDependencyError
        hats is not installed.
    SourceError
        The catalogue's description is absent, damaged, or names partitions that are not there.
    """
    if not any((folder / name).is_file() for name in PROPERTIES):
        raise SourceError(
            f"{folder} has HEALPix partitions and no properties",
            expected=f"{PROPERTIES[0]} or {PROPERTIES[1]}, as HATS catalogues have",
            do=f"bring it back, or name {folder / DATASET} to read it as Parquet files",
        )
    catalogue = _opened(folder)
    base, info = Path(str(catalogue.catalog_base_dir)), catalogue.catalog_info
    position = (info.healpix_column or "_healpix_29", info.ra_column, info.dec_column)
    carried = tuple(dict.fromkeys(name for name in position if name))
    return [
        ParquetSource(str(file), _name(file, base), str(folder.parent), columns, carried)
        for pixel in catalogue.get_healpix_pixels()
        for file in _files(base, pixel, info.npix_suffix)
    ]


@contextmanager
def _with_hats() -> Iterator[Any]:
    """The library, without its notes to the log."""
    try:
        import hats
    except ImportError as error:
        raise MissingDependencyError(
            "this is a HATS catalogue and hats is not installed",
            do="pip install 'morphoscope[survey]'",
        ) from error
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield hats
    finally:
        logging.disable(before)


def _opened(folder: Path) -> Any:
    with _with_hats() as hats:
        try:
            found = hats.read_hats(folder)
        except Exception as error:
            raise SourceError(
                f"{folder} cannot be read as a HATS catalogue ({error})",
                do="check it with hats.io.validation.is_valid_catalog",
            ) from error
        found = getattr(found, "main_catalog", found)
        if not hasattr(found, "get_healpix_pixels"):
            raise SourceError(f"{folder} has no HEALPix partitions", expected="a HATS catalogue")
        return found


def _files(base: Path, pixel: Any, suffix: str) -> list[Path]:
    """Parquet files of a pixel: one, or all in its folder."""
    from hats.io.paths import pixel_catalog_file

    path = Path(str(pixel_catalog_file(base, pixel, npix_suffix=suffix)))
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path] * path.is_file()
    if not found:
        raise SourceError(
            f"{path} is not there, and the HATS catalogue names its pixel",
            do="bring the partition back, or mend the catalogue",
            path=str(path),
        )
    return found


def _name(file: Path, base: Path) -> str:
    return str(file.relative_to(base).with_suffix(""))


def write_hats(source: Path, out: Path, files: Sequence[Path], rows: int) -> list[str]:
    """Make a folder of parts, which lie where `source` has its partitions, a HATS catalogue.

    Parameters
    ----------
    source
        Catalogue that the parts are of.
    out
        Folder of the parts.
    files
        The parts.
    rows
        Rows of all.

    Returns
    -------
    list
        What was written beside the parts, relative to the folder.

    Raises
    ------
    CatalogueError
        The library finds that the result is no valid catalogue.
    """
    info = _opened(source).catalog_info
    with _with_hats():
        from hats.catalog.partition_info import PartitionInfo
        from hats.io.parquet_metadata import write_parquet_metadata
        from hats.io.paths import get_healpix_from_path
        from hats.io.validation import is_valid_catalog

        pixels = {get_healpix_from_path(str(file.relative_to(out))) for file in files}
        whole = all(file.name.startswith("Npix=") for file in files)
        PartitionInfo.from_healpix(sorted(pixels)).write_to_file(catalog_path=out)
        # The footers of all files together would be held in memory.
        write_parquet_metadata(out, create_metadata=False)
        info.copy_and_update(
            catalog_name=out.name,
            total_rows=rows,
            npix_suffix=".parquet" if whole else "/",
            default_columns=None,
            hats_estsize=None,
        ).to_properties_file(out)
        if not is_valid_catalog(out):
            raise CatalogueError(
                f"{out} did not become a valid HATS catalogue",
                do="its parts are whole; report this",
            )
    return WRITTEN
