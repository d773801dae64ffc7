"""What carries over from simulated galaxies to real ones?

Trains the same network for the same number of epochs in four ways, several seeds each:

    plain        simulated galaxies, composites as their survey makes them, no spoiled frames
    varied       colours, curves, backgrounds and nuisances drawn at random (simulate.variety)
    with real    varied, and real galaxies that teach the classes, without inclinations
    self-taught  with real, whose discs have the inclinations that `with real` said of them

and asks each about the discs of Galaxy Zoo 2, whose axial ratios SExtractor measured. Nobody knows
their inclinations: the ellipse formula (q0 = 0.2) on the given ratio stands in, whose own errors
are the same for all. That tells ways apart, not how good they are. Edge-on discs by votes should
be near 90 degrees.

    python benchmarks/sim_to_real.py recipes/inclination.toml --data FOLDER --work WORK
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
from axial_ratio import spearman
from numpy.typing import NDArray

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.engine import cores
from morphoscope.evaluate.answers import answer
from morphoscope.inclination import inclination
from morphoscope.networks import load_model
from morphoscope.pipeline import run_stage
from morphoscope.prepare import open_store, prepare_file
from morphoscope.recipe import Recipe, changed, load_recipe
from morphoscope.train import train

STAGES = ("acquire", "clean", "split", "prepare")
WAYS = ("plain", "varied", "with real", "self-taught")
DISCS = ("spiral", "barred_spiral", "edge_view_spiral")
EDGE_ON = "edge_view_spiral"
Q0 = 0.2
SCORES = ("mae", "spearman", "edge_on")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="galaxy-zoo-1 and others")
    parser.add_argument("--work", type=Path, required=True, help="simulated galaxies are kept here")
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("sim_to_real.json"))
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds: an interval takes two at least")
    plain = {"simulate.variety": 0.0, "simulate.nuisance": 0.0}
    recipes = {way: prepared(options, way, plain if way == "plain" else {}) for way in WAYS[:2]}
    images, truth = real_discs(options.data / "galaxy-zoo-2", recipes["varied"])
    rows = []
    for seed in range(options.seeds):
        for way, model, folder in trained(options, recipes, seed):
            said = answers(model, images)
            rows.append({"seed": seed, "way": way, **scored(said, truth)})
            print(rows[-1], flush=True)
            folder.cleanup()
    options.out.write_text(json.dumps(rows, indent=1))
    for score in SCORES:
        print(in_words(pl.DataFrame(rows), score))


def prepared(options: argparse.Namespace, way: str, changes: dict[str, Any]) -> Recipe:
    """Simulate galaxies, or take those of an earlier call, up to their prepared store."""
    recipe = changed(
        load_recipe(options.recipe),
        {
            "acquire.data": str(options.data.resolve()),
            "simulate.n": options.galaxies,
            "train.others": [],
            "train.epochs": options.epochs,
            **changes,
        },
    )
    for stage in STAGES:
        run_stage(recipe, options.work / way, stage)
    return recipe


def trained(options: argparse.Namespace, recipes: dict[str, Recipe], seed: int) -> Any:
    """Each way's name, its model, and the folder to throw away afterwards."""
    taught: Path | None = None
    kept = []
    for way in WAYS:
        source = "plain" if way == "plain" else "varied"
        folder = tempfile.TemporaryDirectory()
        place, out = Path(folder.name) / "prepare", Path(folder.name) / "train"
        store_of(options.work / source / "prepare", place, way, taught)
        recipe = recipes[source]
        train(recipe.train, recipe.augment, recipe.balance, store=place, seed=seed, out=out)
        if way == "with real":
            taught = out / "model"
            kept.append(folder)
            folder = tempfile.TemporaryDirectory()
        yield way, out / "model", folder
    for folder in kept:
        folder.cleanup()


def store_of(source: Path, place: Path, way: str, teacher: Path | None) -> None:
    """The store of one way: which real galaxies it has, and which inclinations."""
    place.mkdir()
    for name in ("images.npy", "store.json"):
        (place / name).symlink_to((source / name).absolute())
    catalogue = read_catalogue(source / "catalogue.parquet")
    frame = catalogue.frame
    real = pl.col("origin") != "source"
    if way in WAYS[:2]:
        frame = frame.with_columns(pl.when(real).then(None).otherwise("split").alias("split"))
    if way == "self-taught" and teacher is not None:
        store = open_store(source)
        at = np.flatnonzero(
            frame.select(
                (real & (pl.col("split") == "train")).fill_null(False) & (store.labels == 0)
            ).to_series()
        )
        torch.set_num_threads(cores())
        said = answer(load_model(teacher), store.images, at, torch.device("cpu"))
        angles = store.inclinations.copy()
        angles[at] = said[:, len(store.classes)]
        values = pl.Series("inclination", angles).fill_nan(None)
        frame = frame.with_columns(values)
    write_catalogue(place / "catalogue.parquet", frame, catalogue.metadata)


def real_discs(folder: Path, recipe: Recipe) -> tuple[NDArray[Any], pl.DataFrame]:
    """Discs by votes as the networks see them, and their given axial ratios."""
    table = pl.read_csv(folder / "labels.csv").filter(pl.col("class").is_in(DISCS))
    images = [prepare_file(str(folder / file), recipe.prepare) for file in table["file"]]
    return np.stack(images), table.select("class", (pl.col("b") / pl.col("a")).alias("ratio"))


def answers(model: Path, images: NDArray[Any]) -> NDArray[np.float64]:
    """Inclinations (deg)."""
    torch.set_num_threads(cores())
    opened = load_model(model)
    said = answer(opened, images, np.arange(len(images)), torch.device("cpu"))
    return np.asarray(said[:, len(opened.classes)], float)


def scored(said: NDArray[np.float64], truth: pl.DataFrame) -> dict[str, float]:
    ratio = truth["ratio"].to_numpy()
    edge_on = truth["class"].to_numpy() == EDGE_ON
    return {
        "mae": float(np.abs(said - inclination(ratio, Q0)).mean()),
        "spearman": -spearman(said, ratio),
        "edge_on": float(said[edge_on].mean()),
        "n": len(said),
    }


def in_words(table: pl.DataFrame, score: str) -> str:
    """Means, and what each way gains over `varied` with Student's interval over the seeds."""
    from scipy.stats import t

    values = {
        way: table.filter(pl.col("way") == way).sort("seed")[score].to_numpy() for way in WAYS
    }
    lines = [f"{score}:"]
    for way in WAYS:
        gain = values[way] - values["varied"]
        half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
        lines.append(
            f"  {way}: {values[way].mean():.3f}, against varied {gain.mean():+.3f} "
            f"({gain.mean() - half:+.3f} to {gain.mean() + half:+.3f}, {len(gain)} seeds)"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
