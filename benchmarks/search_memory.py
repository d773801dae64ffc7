"""Claim: ten trials at the same time hold one copy of the prepared images.

A search with ten worker processes trains on simulated galaxies. While all ten train, Linux's
account of the pages of ``images.npy`` is read for each: what is resident, what is its share where
pages are shared (PSS), and what is its own alone.

    python benchmarks/search_memory.py
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from morphoscope.pipeline import opened, prepared
from morphoscope.recipe import Recipe
from morphoscope.recipe.written import write_recipe

FIELDS = ("Rss", "Pss", "Private_Dirty", "Anonymous")


def recipe_of(n: int, trials: int) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "memory",
            "simulate": {"n": n, "size": 64},
            "prepare": {"size": 64},
            "train": {"network": "resnet10", "width": 0.125, "epochs": 9, "device": "cpu"},
            "search": {
                "strategy": "random",
                "trials": trials,
                "workers": trials,
                "space": {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
            },
        }
    )


def pages(process: int, name: str) -> dict[str, int]:
    """Bytes of the mappings of one file, from ``/proc/<process>/smaps``."""
    total = dict.fromkeys(FIELDS, 0)
    inside = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(name)
        elif inside and line.partition(":")[0] in FIELDS:
            total[line.partition(":")[0]] += 1024 * int(line.split()[1])
    return total


def workers_of(process: int) -> list[int]:
    children = psutil.Process(process).children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def watch(process: subprocess.Popen[bytes], trials: int, size: int) -> list[dict[str, int]]:
    """The account of each worker, once all hold most of the images."""
    while process.poll() is None:
        found = [pages(worker, "images.npy") for worker in workers_of(process.pid)]
        if len(found) == trials and all(one["Rss"] > 0.6 * size for one in found):
            return found
        time.sleep(0.5)
    raise SystemExit("the search ended before all its trials held the images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=3000, help="galaxies")
    parser.add_argument("--trials", type=int, default=10, help="trials at the same time")
    given = parser.parse_args()
    recipe = recipe_of(given.n, given.trials)
    with tempfile.TemporaryDirectory() as name:
        run, path = Path(name) / "run", Path(name) / "recipe.toml"
        with opened(recipe, run) as job:
            prepared(job, recipe)
        path.write_text(write_recipe(recipe))
        command = [sys.executable, "-m", "morphoscope", "search", str(path), "--out", str(run)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            size = (run / "prepare/images.npy").stat().st_size
            found = watch(process, given.trials, size)
        finally:
            process.kill()
            process.wait()
    share, resident = (sum(one[field] for one in found) for field in ("Pss", "Rss"))
    own = sum(one["Private_Dirty"] + one["Anonymous"] for one in found)
    print(f"images.npy: {size / 1e6:.1f} MB; {len(found)} trials at the same time")
    print(f"resident in all of them together: {resident / 1e6:.1f} MB if each had its own")
    print(f"their shares (PSS) together:      {share / 1e6:.1f} MB = {share / size:.2f} copies")
    print(f"copied by any of them:            {own / 1e6:.1f} MB")
    print(f"target ≤ 1.05 copies: {'met' if share <= 1.05 * size and not own else 'MISSED'}")


if __name__ == "__main__":
    main()
