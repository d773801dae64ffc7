"""Does a network that learnt from simulated galaxies need fewer labels of real ones?

Trains the same network on 50, 200 and 1,000 labelled galaxies of a prepared run, from random
weights and from those of a model of simulated galaxies, several times with other labels each time,
and scores each on the run's whole test split. A fifth of the labels chooses the epoch.

    morphoscope run recipes/inclination.toml --out runs/simulated-only --set simulate.n=30000 \\
      --set train.others=[]
    for stage in acquire clean split prepare; do
      morphoscope $stage recipes/galaxy-zoo-1-scratch.toml --data FOLDER --out runs/few \\
        --set prepare.view=galaxy --set prepare.pad=edge --set prepare.crop_fraction=1.0 \\
        --set prepare.size=64 --set augment.rotate=half --set train.orientations=1
    done
    python benchmarks/few_labels.py runs/few/prepare \\
      runs/simulated-only/train/model/weights.safetensors
"""

from __future__ import annotations

import argparse
import json
import shutil
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
from morphoscope.networks import load_model
from morphoscope.prepare import Store, open_store
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train
from morphoscope.train.scores import accuracy, confusion, macro_f1

CHOOSING = 0.2
AUGMENT = AugmentSettings(rotate="half", zoom=[0.8, 1.25], brightness=0.15)
BALANCE = BalanceSettings(method="sampling", power=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("store", type=Path, help="folder `prepare` of a run")
    parser.add_argument("weights", type=Path, help="weights.safetensors of the simulated model")
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=Path("few_labels.json"))
    options = parser.parse_args()
    rows = list(measured(options))
    options.out.write_text(json.dumps(rows, indent=1))
    table = pl.DataFrame(rows)
    print(table)
    for score in ("macro_f1", "accuracy"):
        for n in options.labels:
            print(in_words(table.filter(pl.col("labels") == n), n, score))
    draw(table, options.out.with_suffix(".svg"))


def measured(options: argparse.Namespace) -> Any:
    """One row a training."""
    for n in options.labels:
        for seed in range(options.seeds):
            for begin, weights in (("random", ""), ("simulated", str(options.weights))):
                with tempfile.TemporaryDirectory() as folder:
                    place = few(options.store, n, seed, Path(folder) / "prepare")
                    found = score(place, options, weights, seed, Path(folder) / "train")
                yield {"labels": n, "seed": seed, "begin": begin, **found}


def few(store: Path, n: int, seed: int, place: Path) -> Path:
    """A store whose train and validation splits are n galaxies of the train split in all."""
    place.mkdir()
    for name in ("images.npy", "store.json"):
        (place / name).symlink_to((store / name).absolute())
    catalogue = read_catalogue(store / "catalogue.parquet")
    split = catalogue.frame["split"].to_list()
    chosen = stratified(open_store(store), n, np.random.default_rng([seed, n]))
    asked = set(chosen[:: round(1 / CHOOSING)].tolist())
    for row, name in enumerate(split):
        if name != "test":
            split[row] = None
    for row in chosen.tolist():
        split[row] = "validation" if row in asked else "train"
    frame = catalogue.frame.with_columns(pl.Series("split", split, pl.String))
    write_catalogue(place / "catalogue.parquet", frame, catalogue.metadata)
    return place


def stratified(store: Store, n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """About n rows of the train split in the shares of the classes, six at least; by class."""
    rows = store.rows("train")
    found = []
    for label in range(len(store.classes)):
        own = random.permutation(rows[store.labels[rows] == label])
        found.append(own[: max(6, round(n * own.size / rows.size))])
    return np.concatenate(found)


def score(
    store: Path, options: argparse.Namespace, weights: str, seed: int, out: Path
) -> dict[str, float]:
    """Macro-F1 and accuracy on the test split of a network trained on the few."""
    opened = open_store(store)
    batch = 16 if opened.rows("train").size < 100 else 32
    settings = TrainSettings(
        network=options.network,
        width=options.width,
        stem="paper",
        weights=weights,
        epochs=40,
        batch_size=batch,
        learning_rate=1e-3,
        body_rate=0.3 if weights else 1.0,
        monitor="loss",
        label_smoothing=0.05,
    )
    train(settings, AUGMENT, BALANCE, store=store, seed=seed, out=out)
    rows = opened.rows("test")
    torch.set_num_threads(cores())
    said = answer(load_model(out / "model"), opened.images, rows, torch.device("cpu"))
    counts = confusion(opened.labels[rows], said.argmax(1), len(opened.classes))
    shutil.rmtree(out)
    given = opened.rows("train").size + opened.rows("validation").size
    scores = {"macro_f1": macro_f1(counts), "accuracy": accuracy(counts)}
    return {**scores, "given": given, "n_test": rows.size}


def in_words(table: pl.DataFrame, n: int, score: str) -> str:
    """Means, and the difference between the beginnings with Student's interval over the seeds."""
    from scipy.stats import t

    values = {
        begin: table.filter(pl.col("begin") == begin).sort("seed")[score].to_numpy()
        for begin in ("random", "simulated")
    }
    gain = values["simulated"] - values["random"]
    half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return (
        f"{n:,} labels, {score}: random {values['random'].mean():.3f}, simulated "
        f"{values['simulated'].mean():.3f}, gain {gain.mean():+.3f} "
        f"({gain.mean() - half:+.3f} to {gain.mean() + half:+.3f}, {len(gain)} seeds)"
    )


def draw(table: pl.DataFrame, path: Path) -> None:
    """Draw the curve: means over the seeds and their spread."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.4))
    # Side by side, so that no whisker hides another.
    for begin, colour, aside in (("random", "#888888", 0.97), ("simulated", "#1f6f8b", 1.03)):
        own = table.filter(pl.col("begin") == begin)
        means = own.group_by("labels").agg(
            pl.col("macro_f1").mean().alias("mean"), pl.col("macro_f1").std().alias("spread")
        )
        means = means.sort("labels")
        x, y, spread = (means[name].to_numpy() for name in ("labels", "mean", "spread"))
        axes.errorbar(
            x * aside, y, spread, marker="o", capsize=3, color=colour, label=f"{begin} weights"
        )
    axes.set_xscale("log")
    axes.set_xticks(sorted(table["labels"].unique()), sorted(table["labels"].unique()))
    axes.set_xlabel("labelled galaxies")
    axes.set_ylabel("macro-F1 on the test split")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
