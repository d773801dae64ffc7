"""Which head says inclinations better: a normal distribution, or quantiles?

Trains the same network on the same simulated galaxies of a prepared run with either head and
several seeds, calibrates the intervals of each on the validation split, and scores values and
intervals on the test split. The interval score of an interval of coverage c is its width, and
2 / (1 - c) times the distance of a truth outside it (Gneiting & Raftery 2007, JASA 102, 359,
eq. 43): small where intervals are both narrow and true.

    morphoscope run recipes/inclination.toml --data FOLDER
    python benchmarks/angle_heads.py runs/inclination/prepare
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.engine import cores
from morphoscope.evaluate.answers import answer
from morphoscope.inclination import apply_intervals, fit_intervals
from morphoscope.networks import load_model
from morphoscope.prepare import Store, open_store
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train

HEADS = ("normal", "quantiles")
COVERAGES = (0.68, 0.90)
AUGMENT = AugmentSettings(rotate="half", zoom=[0.9, 1.1], shift=0.02, brightness=0.2, noise=0.01)
SCORES = ("mae", "rms", "score_68", "score_90", "coverage_68", "coverage_90")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path, help="folder `prepare` of a run")
    parser.add_argument("--galaxies", type=int, default=24_000, help="of the training split")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("angle_heads.json"))
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds: an interval takes two at least")
    rows = []
    for seed in range(options.seeds):
        for head in HEADS:
            with tempfile.TemporaryDirectory() as folder:
                store = fewer(options.store, options.galaxies, seed, Path(folder) / "prepare")
                found = scored(store, head, options.epochs, seed, Path(folder) / "train")
            rows.append({"seed": seed, "head": head, **found})
            print(rows[-1], flush=True)
    options.out.write_text(json.dumps(rows, indent=1))
    for score in SCORES:
        print(in_words(pl.DataFrame(rows), score))


def fewer(store: Path, n: int, seed: int, place: Path) -> Path:
    """A store whose training split is n of its galaxies, alike for both heads."""
    place.mkdir()
    for name in ("images.npy", "store.json"):
        (place / name).symlink_to((store / name).absolute())
    catalogue = read_catalogue(store / "catalogue.parquet")
    split = np.array(catalogue.frame["split"].to_list(), object)
    rows = np.flatnonzero(split == "train")
    split[np.random.default_rng([seed, n]).permutation(rows)[n:]] = None
    frame = catalogue.frame.with_columns(pl.Series("split", split.tolist(), pl.String))
    write_catalogue(place / "catalogue.parquet", frame, catalogue.metadata)
    return place


def scored(place: Path, head: Any, epochs: int, seed: int, out: Path) -> dict[str, float]:
    """Train one network; its errors and intervals on the test discs."""
    store = open_store(place)
    settings = TrainSettings(
        network="resnet18",
        width=0.5,
        stem="paper",
        angle=head,
        epochs=epochs,
        learning_rate=0.006,
        weight_decay=0.05,
        average=0.995,
        monitor="mae",
    )
    train(settings, AUGMENT, BalanceSettings(), store=place, seed=seed, out=out)
    torch.set_num_threads(cores())
    value, below, above, truth = said(store, out / "model", "validation")
    factors = fit_intervals(value, below, above, truth, COVERAGES)
    value, below, above, truth = said(store, out / "model", "test")
    error = value - truth
    found = {"mae": float(np.abs(error).mean()), "rms": float(np.sqrt((error**2).mean()))}
    for coverage in COVERAGES:
        low, high = apply_intervals(factors, value, below, above, coverage)
        name = f"{100 * coverage:.0f}"
        outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
        found[f"coverage_{name}"] = float((outside == 0).mean())
        found[f"score_{name}"] = float((high - low + 2 / (1 - coverage) * outside).mean())
    return {**found, "n_test": len(truth)}


def said(store: Store, model: Path, split: str) -> tuple[NDArray[Any], ...]:
    """Values, half-widths and truths (deg) of the galaxies of a split that have a truth."""
    rows = store.rows(split)
    rows = rows[np.isfinite(store.inclinations[rows])]
    answers = answer(load_model(model), store.images, rows, torch.device("cpu"))
    value, below, above = answers[:, len(store.classes) :].T
    return value, below, above, store.inclinations[rows]


def in_words(table: pl.DataFrame, score: str) -> str:
    """Means, and the difference between the heads with Student's interval over the seeds."""
    from scipy.stats import t

    values = {
        head: table.filter(pl.col("head") == head).sort("seed")[score].to_numpy() for head in HEADS
    }
    gain = values["quantiles"] - values["normal"]
    half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    means = ", ".join(f"{head} {values[head].mean():.3f}" for head in HEADS)
    return (
        f"{score}: {means}, quantiles minus normal {gain.mean():+.3f} "
        f"({gain.mean() - half:+.3f} to {gain.mean() + half:+.3f}, {len(gain)} seeds)"
    )


if __name__ == "__main__":
    main()
