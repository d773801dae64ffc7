"""Claim: what several processes cost, and gain, where a batch is shared out among them.

Trainings of random images, each a call of `train` with one or more processes that take turns, on
all cores of this machine: N processes have 1/N of its threads each. On one machine that a single
process fills, several cannot be faster; the ratio says what the exchange costs there. Printed are
the images a second of the epochs after the first, validation included, the median of the turns, the
ratio to one process, and the share of a step that gathering and augmenting took, which every
process does for the whole batch.

    python benchmarks/data_parallel.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from morphoscope.catalog import write_catalogue
from morphoscope.engine import cores
from morphoscope.prepare.store import write_description
from morphoscope.progress import hushed
from morphoscope.recipe import AugmentSettings, BalanceSettings, PrepareSettings, TrainSettings
from morphoscope.train import train

CASES = (("resnet18", 64), ("efficientnet_lite0", 112))
CLASSES = ["a", "b", "c", "d"]


def write_store(folder: Path, images: int, size: int) -> Path:
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 255, (images, 3, size, size), dtype=np.uint8)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", pixels)
    frame = pl.DataFrame(
        {
            "id_str": [str(i) for i in range(images)],
            "file_loc": [f"{i}.png" for i in range(images)],
            "class": [CLASSES[i % 4] for i in range(images)],
            "split": ["validation" if i % 8 == 7 else "train" for i in range(images)],
        }
    )
    write_catalogue(folder / "catalogue.parquet", frame, {"classes": CLASSES})
    about = {"shape": list(pixels.shape), "preparation": PrepareSettings(size=size).model_dump()}
    write_description(folder, "complete", sha256="0" * 64, **about)
    return folder


def measure(store: Path, out: Path, settings: TrainSettings, images: int) -> tuple[float, float]:
    """Images a second, and the share of the data path."""
    with hushed():
        summary = train(
            settings, AugmentSettings(), BalanceSettings(), store=store, seed=1, out=out
        )
    (epochs,) = json.loads((out / "history.json").read_text())
    seconds = statistics.median(epoch["seconds"] for epoch in epochs[1:])
    return images / seconds, summary["data_path_share"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    print(f"{cores()} cores, batches of {asked.batch}")
    with tempfile.TemporaryDirectory() as place:
        for network, size in CASES:
            store = write_store(Path(place, network), asked.images, size)
            found: dict[int, list[tuple[float, float]]] = {n: [] for n in asked.processes}
            for turn in range(asked.turns):
                for processes in found:
                    settings = TrainSettings(
                        network=network,
                        epochs=3,
                        batch_size=asked.batch,
                        processes=processes,
                        checkpoint_s=1e9,
                    )
                    out = Path(place, f"{network}-{turn}-{processes}")
                    found[processes].append(measure(store, out, settings, asked.images))
            first = statistics.median(rate for rate, _ in found[asked.processes[0]])
            for processes, several in found.items():
                rates = [rate for rate, _ in several]
                rate, share = statistics.median(rates), statistics.median(s for _, s in several)
                print(
                    f"{network}, {size} px, {processes} processes: {rate:.0f} images/s "
                    f"[{min(rates):.0f}–{max(rates):.0f}], {rate / first:.2f} of the first; "
                    f"data path {share:.1%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
