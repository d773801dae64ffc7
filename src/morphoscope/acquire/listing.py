"""Which images, and which sub-folders, a folder holds."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from morphoscope.errors import SourceError
from morphoscope.images import IMAGE_SUFFIXES

__all__ = [
    "absolute",
    "as_text",
    "hidden",
    "images_in",
    "images_within",
    "is_image",
    "stem",
    "sub_folders",
]

# The longest first: `x.fits.gz` ends in two of them.
SUFFIXES = tuple(sorted(IMAGE_SUFFIXES, key=len, reverse=True))


def hidden(name: str) -> bool:
    """Whether a path is what an operating system left behind, and no one's data."""
    # macOS zips carry a shadow `._x.jpg` of every x.jpg, which is no image.
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePath(name).parts)


def absolute(path: Path) -> Path:
    """Absolute path without ``..``; links stay as they are named."""
    return Path(os.path.normpath(path.absolute()))


def as_text(path: str) -> str:
    """Path as text that a table can hold: a byte that is not UTF-8 is spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_image(name: str) -> bool:
    """Whether a file is an image by its name."""
    return name.lower().endswith(SUFFIXES)


def stem(path: str) -> str:
    """Name of a file without folder and suffix: ``a/12.fits.gz`` is ``12``."""
    name = path.rpartition("/")[2]
    suffix = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    return name[: len(name) - len(suffix)] or name


def images_in(folder: Path) -> list[str]:
    """Absolute paths of the images that lie in ``folder`` itself, in order of name."""
    return sorted(
        as_text(entry.path)
        for entry in _entries(absolute(folder))
        if is_image(entry.name) and not entry.is_dir()
    )


def images_within(folder: Path) -> list[str]:
    """Absolute paths of the images in ``folder`` and below it; links are followed once."""
    pending, seen, found = [folder], set(), list[str]()
    while pending:
        place = pending.pop()
        identity = os.path.realpath(place)
        if identity not in seen:
            seen.add(identity)
            found += images_in(place)
            pending += sub_folders(place)
    return sorted(found)


def sub_folders(folder: Path) -> list[Path]:
    """Sub-folders in order of name."""
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_dir())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not hidden(entry.name)]
    except OSError as error:
        raise SourceError(
            f"the folder {folder} cannot be read ({error.strerror})",
            do="check the path and your permission to read it",
            path=str(folder),
        ) from error
