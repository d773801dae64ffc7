"""Claim: `measure` finds the axial ratios that SExtractor found, 60 images/s on a core.

Reads a folder of images with a table `labels.csv` (columns `file`, `a`, `b`, `class`; a and b in
any unit). The constants of `measure` were chosen on half of the rows without a class; those with
one are what counts. Printed for both: n, Spearman's rank correlation with its 95 % interval
(bootstrap over galaxies), median absolute difference, bias (ours less theirs). Then the rate: of
one process, and of the whole of `measure`, from the folder to the Parquet file, without the start
of the workers. With --page, the galaxies that differ most stand in one picture: our
footprint green, neighbours red, their ellipse (2 a, 2 b) cyan.

    python benchmarks/axial_ratio.py ../shared/data/galaxy-zoo-2
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from jpegs import spread
from numpy.typing import NDArray

from morphoscope.engine import cores, open_engine
from morphoscope.images import read_image
from morphoscope.measure import measure, measure_files
from morphoscope.recipe import EngineSettings
from morphoscope.sources.sky import open_frame
from morphoscope.sources.source import find_source

Floats = NDArray[np.float64]
RATIOS = ("axial_ratio", "axial_ratio_isophote")
DRAWS = 2000
COLUMNS = 5
TILE = 240


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation; ties are broken by their order, of which there are few."""
    first, second = (np.argsort(np.argsort(values)) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def score(found: Floats, given: Floats) -> str:
    """n, rank correlation with its interval, median absolute difference and bias, as a line."""
    known = np.isfinite(found)
    found, given = found[known], given[known]
    random = np.random.default_rng(0)
    rows = (random.integers(0, len(found), len(found)) for _ in range(DRAWS))
    low, high = np.percentile([spearman(found[row], given[row]) for row in rows], [2.5, 97.5])
    off = found - given
    return (
        f"n = {len(found):,} of {len(known):,}, Spearman {spearman(found, given):.4f} "
        f"({low:.4f}–{high:.4f}), median |difference| {np.median(np.abs(off)):.4f}, "
        f"bias {off.mean():+.4f}"
    )


def rates(files: list[str], folder: Path, repeats: int) -> None:
    table = folder / "files.csv"
    pl.DataFrame({"file": files}).write_csv(table)
    alone, streamed = [], []
    with open_engine(EngineSettings(kind="local")) as engine:
        measure(table, out=folder / "shapes.parquet", engine=engine)
        for _ in range(repeats):
            began = time.perf_counter()
            measure_files(files[: len(files) // 4])
            alone.append(len(files) // 4 / (time.perf_counter() - began))
            summary = measure(table, out=folder / "shapes.parquet", engine=engine, force=True)
            streamed.append(summary["images_per_s"])
    sizes = {read_image(file).shape for file in files[:20]}
    print(f"rate, {len(files):,} images, first of them {', '.join(map(str, sorted(sizes)))}")
    print(f"  one process: {spread(alone, 1)} images/s")
    print(f"  measure, {cores()} workers: {spread(streamed, 1)} images/s")


def picture(row: dict[str, object], file: Path, words: str) -> NDArray[np.uint8]:
    pixels = read_image(str(file))
    shown = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    frame = open_frame(pixels)
    source = find_source(frame) if frame else None
    if source:
        for mask, colour in ((source.footprint, (0, 255, 0)), (source.others, (0, 0, 255))):
            lines, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(shown, lines, -1, colour, 1)
    scale = pixels.shape[0] / 424
    x, y, a, b, theta = (float(str(row[name])) for name in ("x", "y", "a", "b", "theta_deg"))
    box = ((x * scale, y * scale), (4 * a * scale, 4 * b * scale), theta)
    cv2.ellipse(shown, box, (255, 255, 0), 1)
    edge = pixels.shape[0] // 5
    shown = cv2.resize(shown[edge:-edge, edge:-edge], (TILE, TILE), interpolation=cv2.INTER_AREA)
    cv2.putText(shown, words, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
    return np.asarray(shown, np.uint8)


def draw_worst(rows: pl.DataFrame, folder: Path, ratio: str, page: Path, n: int) -> None:
    worst = rows.sort((pl.col(ratio) - pl.col("given")).abs(), descending=True, nulls_last=True)
    tiles = [
        picture(
            row,
            folder / row["file"],
            f"given {row['given']:.2f}, found {row[ratio]:.2f} {row['flag'] or ''}",
        )
        for row in worst[: n - n % COLUMNS].iter_rows(named=True)
    ]
    lines = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    cv2.imwrite(str(page.with_stem(f"{page.stem}-{ratio}")), np.vstack(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with labels.csv")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--page", type=Path, help="PNG of the galaxies that differ most")
    parser.add_argument("--worst", type=int, default=20, help="how many of them")
    given = parser.parse_args()
    labels = pl.read_csv(given.folder / "labels.csv", schema_overrides={"class": pl.String})
    files = [str((given.folder / file).absolute()) for file in labels["file"]]
    shapes = measure_files(files).select(*RATIOS, "flag")
    rows = labels.with_columns(given=pl.col("b") / pl.col("a")).hstack(shapes)
    unknown = pl.col("class").fill_null("") == ""
    for words, which in (("without a class", unknown), ("with a class", ~unknown)):
        some = rows.filter(which)
        print(f"{words}, flags {dict(some['flag'].drop_nulls().value_counts().iter_rows())}")
        for ratio in RATIOS:
            print(f"  {ratio}: {score(some[ratio].to_numpy(), some['given'].to_numpy())}")
    for name, some in sorted(rows.filter(~unknown).group_by("class")):
        for ratio in RATIOS:
            print(
                f"  {name[0]}, {ratio}: {score(some[ratio].to_numpy(), some['given'].to_numpy())}"
            )
    if given.page:
        for ratio in RATIOS:
            draw_worst(rows.filter(~unknown), given.folder, ratio, given.page, given.worst)
    with tempfile.TemporaryDirectory() as folder:
        rates(files, Path(folder), given.repeats)


if __name__ == "__main__":
    main()
