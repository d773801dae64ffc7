"""Claim: at equal budget the strategies of `search` find better settings than chance does.

Every strategy searches the same space on the same galaxies with the same number of epochs in all,
for several seeds; a seed also decides which galaxies validate, and is the same for all strategies.
Strategies that stop trials early get more of them for the same epochs. Printed is the best
validation loss so far after parts of the budget: median and range over the seeds, and on how many
seeds it is lower than that of random search. An epoch with hypergradients by four settings costs
some 18 plain ones: they get a fifth of the trials, which is still more time than the others have.

    python benchmarks/search_strategies.py --data ../shared/data/galaxy-zoo-1
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from morphoscope.pipeline import opened, prepared
from morphoscope.recipe import Recipe, changed, load_recipe
from morphoscope.recipe.written import write_recipe

RECIPES = Path(__file__).parent.parent / "recipes"
# The first values, where hypergradients begin, are in the middle of the spans.
SPACE = {
    "train.learning_rate": {"low": 0.001, "high": 1.0, "log": True},
    "train.weight_decay": {"low": 0.00001, "high": 0.1, "log": True},
    "train.momentum": {"low": 0.5, "high": 0.98},
    "train.label_smoothing": {"low": 0.0, "high": 0.3},
}
FIRST = {
    "train.learning_rate": 0.03,
    "train.weight_decay": 0.001,
    "train.momentum": 0.74,
    "train.label_smoothing": 0.15,
}
# So many draws an epoch, which makes it a quarter of the galaxies.
DRAWS = {"elliptical": 400, "edge_on": 250, "spiral": 250, "merger": 100}
PARTS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Strategy:
    """A strategy, how it stops trials, and how many times the trials it gets for that."""

    name: str
    stopping: str = "none"
    times: float = 1.0

    def __str__(self) -> str:
        return self.name if self.stopping == "none" else f"{self.name} + {self.stopping}"


STRATEGIES = (
    Strategy("random"),
    Strategy("random", "halving", 2.5),
    Strategy("random", "hyperband", 2.0),
    Strategy("bayesian"),
    Strategy("bayesian", "hyperband", 2.0),
    Strategy("gaussian_process"),
    Strategy("cma_es"),
    Strategy("hypergradient", times=0.2),
)


def problem(data: Path, seed: int, epochs: int) -> Recipe:
    recipe = load_recipe(RECIPES / "galaxy-zoo-1.toml")
    train = {
        "network": "resnet10",
        "width": 0.125,
        "epochs": epochs,
        "batch_size": 64,
        "optimizer": "sgd",
        "average": 0.0,
        "monitor": "loss",
        "members": 1,
        "orientations": 1,
        "warmup": 0.1,
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
    }
    settings = {f"train.{key}": value for key, value in train.items()}
    return changed(
        recipe,
        {
            "seed": seed,
            "acquire.data": str(data.absolute()),
            "prepare.size": 32,
            "balance.target": DRAWS,
            "search.space": SPACE,
            "search.startup": 6,
            **settings,
            **FIRST,
        },
    )


def run_search(recipe: Recipe, strategy: Strategy, trials: int, prepared_run: Path) -> pl.DataFrame:
    place = prepared_run.with_name(f"{prepared_run.name}-{strategy}".replace(" ", ""))
    shutil.copytree(prepared_run, place)
    own = changed(
        recipe,
        {
            "search.strategy": strategy.name,
            "search.stopping": strategy.stopping,
            "search.trials": round(trials * strategy.times),
        },
    )
    path = place / "recipe.toml"
    path.write_text(write_recipe(own))
    command = [sys.executable, "-m", "morphoscope", "search", str(path), "--out", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    table = pl.read_parquet(place / "search/trials.parquet")
    shutil.rmtree(place)
    return table


def best_after(table: pl.DataFrame, epochs: float) -> float:
    """Lowest validation loss of the whole trials that ended within so many epochs."""
    best = float("inf")
    spent = 0
    for row in table.sort("number").iter_rows(named=True):
        spent += row["epochs"]
        if spent > epochs:
            break
        if row["state"] == "complete":
            best = min(best, row["score"])
    return best


def tell(tables: dict[Strategy, list[pl.DataFrame]], budget: int) -> None:
    parts = "".join(f"{f'after {part:.0%}':>26}" for part in PARTS)
    print(f"{'strategy':24}{parts}{'beats random':>14}{'trials':>8}{'s/epoch':>9}")
    chance = [best_after(table, budget) for table in tables[STRATEGIES[0]]]
    for strategy, found in tables.items():
        line = f"{strategy!s:24}"
        for part in PARTS:
            scores = [best_after(table, part * budget) for table in found]
            line += f"{statistics.median(scores):12.4f} ({min(scores):.3f}–{max(scores):.3f})"
        last = [best_after(table, budget) for table in found]
        wins = sum(a < b for a, b in zip(last, chance, strict=True))
        number = statistics.mean(len(table) for table in found)
        seconds = sum(float(table["seconds"].sum()) for table in found)
        epochs = sum(int(table["epochs"].sum()) for table in found)
        line += f"{f'{wins} of {len(last)}':>14}{number:8.0f}{seconds / epochs:9.2f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of galaxy-zoo-1")
    parser.add_argument("--trials", type=int, default=20, help="whole trials of a search")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a trial")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=2, help="searches at the same time")
    given = parser.parse_args()
    tables: dict[Strategy, list[pl.DataFrame]] = {strategy: [] for strategy in STRATEGIES}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.at_once) as pool:
        for seed in range(1, given.seeds + 1):
            recipe = problem(given.data, seed, given.epochs)
            run = Path(name) / f"seed-{seed}"
            with opened(recipe, run) as job:
                prepared(job, recipe)
            waiting = [
                (strategy, pool.submit(run_search, recipe, strategy, given.trials, run))
                for strategy in STRATEGIES
            ]
            for strategy, search in waiting:
                tables[strategy].append(search.result())
    budget = given.trials * given.epochs
    print(
        f"galaxy-zoo-1 at 32 pixels, resnet10 of width 1/8; {budget} epochs a search, trials of "
        f"{given.epochs}; {given.seeds} seeds\nbest validation loss so far, median (range):"
    )
    tell(tables, budget)


if __name__ == "__main__":
    main()
