"""Simulated galaxies beside real ones, on one sheet, to be looked at.

    python benchmarks/side_by_side.py --real FOLDER [--recipe recipes/inclination.toml]
        [--set simulate.survey=legacy] [--out sheet.png]
    python benchmarks/side_by_side.py --out docs/simulated.jpg

Rows of real and of simulated galaxies take turns; without --real all are simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from morphoscope.images import IMAGE_SUFFIXES, read_image
from morphoscope.recipe import load_recipe
from morphoscope.simulate.drawing import drawing_of
from morphoscope.simulate.population import assign_classes

Picture = NDArray[np.uint8]


def real_pictures(folder: Path, n: int, side: int, seed: int) -> list[Picture]:
    """Pictures drawn from a folder at any depth, the middle square of each."""
    files = sorted(f for f in folder.rglob("*") if f.name.lower().endswith(tuple(IMAGE_SUFFIXES)))
    if not files:
        raise SystemExit(f"there is no image in {folder}")
    chosen = np.random.default_rng(seed).permutation(len(files))[:n]
    return [square(read_image(str(files[k])), side) for k in chosen]


def square(image: NDArray[np.generic], side: int) -> Picture:
    ny, nx = image.shape[:2]
    least = min(ny, nx)
    top, left = (ny - least) // 2, (nx - least) // 2
    middle = image[top : top + least, left : left + least]
    if middle.shape[2] == 1:
        middle = np.repeat(middle, 3, axis=2)
    way = cv2.INTER_AREA if least > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (side, side), interpolation=way))


def simulated_pictures(arguments: argparse.Namespace, n: int) -> list[Picture]:
    recipe = load_recipe(Path(arguments.recipe), arguments.set)
    settings = recipe.simulate
    kinds = assign_classes(settings.fractions, n, arguments.seed)
    drawn = [drawing_of(arguments.seed, k, kind, settings) for k, kind in enumerate(kinds)]
    return [square(simplejpeg.decode_jpeg(one.jpeg()), arguments.side) for one in drawn]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--recipe", default="recipes/inclination.toml")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", default="side_by_side.png")
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--columns", type=int, default=12)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    columns, rows = arguments.columns, arguments.rows
    number = columns * (rows if arguments.real is None else rows - rows // 2)
    rows_of = [
        np.hstack(pictures) for pictures in _rows(simulated_pictures(arguments, number), columns)
    ]
    if arguments.real is not None:
        real = real_pictures(arguments.real, columns * (rows // 2), arguments.side, arguments.seed)
        for k, pictures in enumerate(_rows(real, columns)):
            rows_of.insert(2 * k, np.hstack(pictures))
    sheet = np.vstack(rows_of)[:, :, ::-1]
    cv2.imwrite(arguments.out, sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(f"{arguments.out}: {'real above simulated' if arguments.real else 'all simulated'}")


def _rows(pictures: list[Picture], columns: int) -> list[list[Picture]]:
    return [pictures[k : k + columns] for k in range(0, len(pictures) - columns + 1, columns)]


if __name__ == "__main__":
    main()
