"""Claim: random images come from the store at 50,000/s and more, 20 times as fast as from JPEGs.

The same images at 64×64×3 in shuffled batches of 128, in turns, in one run: from the store by
`Store.gather` into a torch tensor, and from a torch Dataset that opens one JPEG an item with
Pillow, behind a DataLoader with 0 and with 2 workers.

    python benchmarks/gather.py --data ../shared/data/galaxy-zoo-1
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jpegs import find_or_draw, spread
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from morphoscope.catalog import write_catalogue
from morphoscope.engine import open_engine
from morphoscope.prepare import Store, open_store, prepare
from morphoscope.recipe import EngineSettings, PrepareSettings

SIZE, BATCH = 64, 128
TARGET_PER_S, TARGET_RATIO = 50_000, 20


class Jpegs(Dataset[torch.Tensor]):
    """One JPEG an item."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index]) as image:
            small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def make_store(files: list[str], folder: Path) -> Store:
    frame = pl.DataFrame({"id_str": [str(i) for i in range(len(files))], "file_loc": files})
    write_catalogue(folder / "catalogue.parquet", frame, {})
    settings = PrepareSettings(size=SIZE)
    with open_engine(EngineSettings(kind="inline")) as engine:
        prepare(
            settings, catalogue=folder / "catalogue.parquet", out=folder / "store", engine=engine
        )
    return open_store(folder / "store", settings)


def rate(batches: Iterable[torch.Tensor]) -> float:
    began = time.perf_counter()
    n = sum(len(batch) for batch in batches)
    return n / (time.perf_counter() - began)


def from_store(store: Store, epochs: int, seed: int) -> Iterable[torch.Tensor]:
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(len(store))
        for start in range(0, len(order), BATCH):
            yield torch.from_numpy(store.gather(order[start : start + BATCH]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of JPEG files")
    parser.add_argument("--n", type=int, default=1000, help="JPEGs")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = find_or_draw(given.data, given.n, Path(name))
        store = make_store(files, Path(name))
        rates: dict[str, list[float]] = {"store": [], "0 workers": [], "2 workers": []}
        for repeat in range(given.repeats):
            rates["store"].append(rate(from_store(store, 20, repeat)))
            for workers in (0, 2):
                loader = DataLoader(Jpegs(files), BATCH, shuffle=True, num_workers=workers)
                rates[f"{workers} workers"].append(rate(loader))
    print(f"{len(files):,} images at {SIZE}×{SIZE}×3, batches of {BATCH}, {given.repeats} turns")
    print(f"store: {spread(rates['store'], 0)} images/s")
    worst = np.inf
    for which in ("0 workers", "2 workers"):
        ratios = [a / b for a, b in zip(rates["store"], rates[which], strict=True)]
        worst = min(worst, *ratios)
        print(f"JPEG dataset, {which}: {spread(rates[which], 0)} images/s", end="; ")
        print(f"the store gives {spread(ratios, 0)} ×")
    met = min(rates["store"]) >= TARGET_PER_S and worst >= TARGET_RATIO
    print(
        f"targets ≥ {TARGET_PER_S:,} images/s and ≥ {TARGET_RATIO} ×: {'met' if met else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
