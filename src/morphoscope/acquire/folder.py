"""A folder with one sub-folder a class."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from morphoscope.acquire.listing import absolute, as_text, images_in, images_within, sub_folders
from morphoscope.acquire.rows import Acquired, images_without_label, names_of, sort_out
from morphoscope.errors import SourceError

__all__ = ["read_folder"]


def read_folder(root: Path) -> Acquired:
    """Read images whose class is the name of the sub-folder that they lie in.

    Raises
    ------
    SourceError
        The folder cannot be read, or holds no sub-folder with an image.
    """
    classes = {as_text(folder.name): images_within(folder) for folder in sub_folders(root)}
    loose = images_in(root)
    if not any(classes.values()):
        raise SourceError(
            f"{root} has {len(classes)} sub-folders and no image in any",
            expected="one sub-folder a class with its images",
            do="check the path, or set acquire.source to the layout that the data has",
            path=str(root),
        )
    files = [file for images in classes.values() for file in images]
    names = names_of(files, as_text(str(absolute(root))))
    frame = pl.DataFrame(
        {
            "id_str": [names[file] for file in files],
            "file_loc": files,
            "class": [name for name, images in classes.items() for _ in images],
        }
    ).with_columns(pl.lit(None, pl.Float64).alias("ra"), pl.lit(None, pl.Float64).alias("dec"))
    usable, rejects = sort_out(frame, pl.repeat(True, frame.height, eager=True))
    return Acquired(
        usable, images_without_label(rejects, loose), warnings=_warnings(root, classes, loose)
    )


def _warnings(root: Path, classes: dict[str, list[str]], loose: list[str]) -> list[str]:
    warnings = [
        f"the folder of class {name!r} has no image"
        for name, images in classes.items()
        if not images
    ]
    if len(classes) == 1:
        name = next(iter(classes))
        warnings.append(f"there is one class only, {name!r}; the data may begin at {root / name}")
    if loose:
        warnings.append(f"images that lie in no class folder: {len(loose):,}")
    return warnings
