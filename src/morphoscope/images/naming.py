"""What a row of a table names: a file, one image within it, or one file a band.

``galaxy.fits[SCI]`` and ``galaxy.fits[2]`` choose one image of a FITS file, and
``stack.fits[SCI][17]`` one slice of it; ``{band}`` stands for each band where a galaxy has one file
a band; ``file.h5::dataset[index]`` and ``store.zarr::array[index]`` are rows of HDF5 and Zarr, and
``shard.tar::member`` is a file inside an archive, which may itself be ``cutout.fits[SCI]``.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "BAND",
    "SLICE",
    "ArrayRow",
    "array_row",
    "band_name",
    "file_of_any_band",
    "files_of",
    "split_hdu",
    "tar_member",
    "words_in",
]

ROW = re.compile(r"(?P<file>.+)::(?P<array>[^\[\]]+)\[(?P<index>\d+)\]")
MEMBER = re.compile(r"(?P<file>.+?\.(?:tar|tar\.gz|tgz))::(?P<member>.+)", re.I | re.S)
# Between what chooses an image of a FITS file and the number of the slice of it.
SLICE = "]["
HDU = re.compile(
    r"(?P<file>.+\.(?:fits|fit|fts)(?:\.gz|\.fz)?)\[(?P<hdu>[^\[\]]+(?:\]\[\d+)?)\]", re.I
)
BAND = "{band}"
WORD = re.compile(r"[A-Za-z0-9]+")

SURVEYS = (
    "sdss|sloan|hsc|subaru|decam|des|decals|ls|bass|mzls|ps1|panstarrs|lsst|kids|omegacam|ztf"
    "|cfht|megacam|megaprime|skymapper|vst|atlas"
)
# Beside a survey's name case does not count; it does in a bare letter, which is left as it is: R
# and I are Johnson's and Cousins', r and i Sloan's.
NAMED = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        # HSC-R2 and HSC-I2 replaced HSC-R and HSC-I.
        rf"(?:{SURVEYS})[ _.:-]?(?P<band>[ugrizy])2?",
        rf"(?P<band>[ugrizy])2?[ _.:-]?(?:{SURVEYS})",
        # As DECam's headers have it: "g DECam SDSS c0001 4720.0 1520.0".
        r"(?P<band>[ugrizy]) decam\b.*",
    )
)


class ArrayRow(NamedTuple):
    """One row of an array that holds an image a row."""

    file: str
    array: str
    row: int

    @property
    def kind(self) -> str:
        """Format of the file, by its name."""
        return "Zarr" if self.file.rstrip("/").lower().endswith(".zarr") else "HDF5"


def array_row(file_loc: str) -> ArrayRow | None:
    """Row of HDF5 or Zarr that is named; None for anything else.

    Examples
    --------
    >>> array_row("/d/G.h5::images[3]")
    ArrayRow(file='/d/G.h5', array='images', row=3)
    """
    found = None if tar_member(file_loc) else ROW.fullmatch(file_loc)
    return ArrayRow(found["file"], found["array"], int(found["index"])) if found else None


def tar_member(file_loc: str) -> tuple[str, str] | None:
    """Archive and member that are named; None for anything else.

    Examples
    --------
    >>> tar_member("/d/00.tar::a/7.fits[1]")
    ('/d/00.tar', 'a/7.fits[1]')
    """
    found = MEMBER.fullmatch(file_loc)
    return (found["file"], found["member"]) if found else None


def band_name(text: str) -> str:
    """Name of a band without its survey's; what is not known stays as it is.

    Examples
    --------
    >>> [band_name(name) for name in ("HSC-G", "r_SDSS", "z DECam SDSS c0004", "R", "F814W")]
    ['g', 'r', 'z', 'R', 'F814W']
    """
    name = text.strip()
    found = next(filter(None, (pattern.fullmatch(name) for pattern in NAMED)), None)
    return found["band"].lower() if found else name


def words_in(name: str) -> set[str]:
    """Words in the name of an extension.

    Examples
    --------
    >>> sorted(words_in("MASK_G"))
    ['G', 'MASK']
    """
    return set(WORD.findall(name))


def split_hdu(file_loc: str) -> tuple[str, str]:
    """Path, and what chooses an image in it (`morphoscope.images.fits.chosen`); empty: the first.

    Examples
    --------
    >>> split_hdu("/d/g.fits[SCI]"), split_hdu("/d/stack.fits.gz[1][17]")
    (('/d/g.fits', 'SCI'), ('/d/stack.fits.gz', '1][17'))
    """
    found = HDU.fullmatch(file_loc)
    if found is None or Path(file_loc).exists():
        return file_loc, ""
    return found["file"], found["hdu"]


def file_of_any_band(file_loc: str) -> str:
    """The path itself, or that of the first band there is, by its name, instead of ``{band}``."""
    if BAND not in file_loc:
        return file_loc
    path, hdu = split_hdu(file_loc)
    found = min(files_of(path), default=path.replace(BAND, "?"))
    return f"{found}[{hdu}]" if hdu else found


def files_of(file_loc: str) -> list[str]:
    """Paths of the files that a row names and that are there; with ``{band}`` of all bands."""
    row, member = array_row(file_loc), tar_member(file_loc)
    if row and row.kind == "Zarr":
        return [row.file] if Path(row.file).exists() else []
    path = row.file if row else member[0] if member else split_hdu(file_loc)[0]
    if BAND in path:
        # A band begins with a letter: of 1{band}.fits the file 10g.fits is none.
        pattern = glob.escape(path).replace(BAND, "[A-Za-z]*")
        return glob.glob(pattern)  # noqa: PTH207 - absolute too
    return [path] if Path(path).is_file() else []
