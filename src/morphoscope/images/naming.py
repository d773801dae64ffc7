"""What a row of a table names: a file, one image within it, or one file a band.

``galaxy.fits[SCI]`` and ``galaxy.fits[2]`` choose one image of a FITS file; ``{band}`` stands for
each band where a galaxy has one file a band; ``file.h5::dataset[index]`` is a row of HDF5.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

__all__ = [
    "BAND",
    "HDF5_ROW",
    "band_name",
    "file_of_any_band",
    "files_of",
    "split_hdu",
    "words_in",
]

HDF5_ROW = re.compile(r"(?P<file>.+)::(?P<dataset>[^\[\]]+)\[(?P<index>\d+)\]")
HDU = re.compile(r"(?P<file>.+\.(?:fits|fit|fts)(?:\.gz|\.fz)?)\[(?P<hdu>[^\[\]]+)\]", re.I)
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
    """Path and name or number of the image that is chosen in it; empty: the first one."""
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
    row = HDF5_ROW.fullmatch(file_loc)
    path = row["file"] if row else split_hdu(file_loc)[0]
    if BAND in path:
        # A band begins with a letter: of 1{band}.fits the file 10g.fits is none.
        pattern = glob.escape(path).replace(BAND, "[A-Za-z]*")
        return glob.glob(pattern)  # noqa: PTH207 - absolute too
    return [path] if Path(path).is_file() else []
