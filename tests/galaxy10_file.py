"""HDF5 files laid out as the two editions of Galaxy10, of galaxies that may be had anywhere.

python tests/galaxy10_file.py standin/Galaxy10.h5 1500
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import polars as pl

from morphoscope.engine import open_engine
from morphoscope.images import read_image
from morphoscope.recipe import EngineSettings, SimulateSettings
from morphoscope.simulate import simulate

SDSS_SIDE, DECALS_SIDE = 69, 256


def write_sdss(path: Path, n: int, *, seed: int = 1) -> pl.DataFrame:
    """Simulated galaxies in ten classes as the file of 69 pixels; returns their truth and `ans`."""
    with open_engine(EngineSettings(kind="inline")) as engine:
        settings = SimulateSettings(n=n, size=SDSS_SIDE)
        simulate(settings, seed=seed, out=path.parent / "simulated", engine=engine)
    frame = pl.read_parquet(path.parent / "simulated/catalogue.parquet").with_columns(answers())
    images = np.stack([read_image(file) for file in frame["file_loc"]])
    write(path, images, frame["ans"].to_numpy())
    return frame


def answers() -> pl.Expr:
    """Class of Galaxy10 (SDSS) that a simulated galaxy resembles most."""
    kind, bulge = pl.col("class"), pl.col("bulge_fraction")
    pitch = pl.col("pitch_angle_deg")
    return (
        pl.when((kind == "spiral") & (pl.col("arm_contrast") < 0.35))
        .then(0)
        .when(kind == "round")
        .then(1)
        .when(kind == "in_between")
        .then(2)
        .when(kind == "cigar")
        .then(3)
        .when((kind == "edge_on") & (bulge > 0.3))
        .then(5)
        .when((kind == "edge_on") & (bulge > 0))
        .then(4)
        .when(kind == "edge_on")
        .then(6)
        .when(pitch < 17)
        .then(7)
        .when(pitch < 24)
        .then(8)
        .otherwise(9)
        .cast(pl.UInt8)
        .alias("ans")
    )


def write_decals(path: Path, sample: Path) -> pl.DataFrame:
    """Real galaxies of the sample as the file of 256 pixels, with its further columns."""
    frame = pl.read_csv(sample / "labels.csv")
    images = np.stack([read_image(str(sample / file)) for file in frame["file"]])
    zeros = np.zeros(len(frame))
    names = ("ra", "dec", "redshift", "pxscale")
    write(path, images, frame["ans"].to_numpy().astype(np.uint8), **dict.fromkeys(names, zeros))
    return frame


def as_sdss(path: Path, sample: Path) -> None:
    """The same galaxies at 69 pixels, without positions."""
    frame = pl.read_csv(sample / "labels.csv")
    size = (SDSS_SIDE, SDSS_SIDE)
    images = [
        cv2.resize(read_image(str(sample / file)), size, interpolation=cv2.INTER_AREA)
        for file in frame["file"]
    ]
    write(path, np.stack(images), frame["ans"].to_numpy().astype(np.uint8))


def write(path: Path, images: np.ndarray, ans: np.ndarray, **columns: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, value in {"images": images, "ans": ans, **columns}.items():
            file[name] = value


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.parent.mkdir(parents=True, exist_ok=True)
    print(write_sdss(place, int(sys.argv[2]))["ans"].value_counts(sort=True))
